"""Methods against the judge's loops, and the laws that they claim."""

import equinox as eqx
import jax
import numpy as np
import pytest

from carbjax._attribution.attribute import attribute
from carbjax._attribution.idle import IDLE_RULES
from carbjax._attribution.methods import find_entry, find_method, methods
from carbjax._carbon.intensity import Intensity
from carbjax._errors import InputError
from carbjax._games.replay import ReplayGame
from carbjax._games.serving import ServingGame
from carbjax._serving.serve import serve
from tests.reference import games, shares, streaming
from tests.reference.shapley import leave_one_out, shapley_by_subsets
from tests.reference.workloads import cases
from tests.systems import judged

CASES = [
    case
    for case in cases(11, 150, max_requests=6, max_answer=80)
    if len(case.requests) == 4 and not all(request.is_null for request in case.requests)
]
PROVISIONING = ["always_on", "on_demand"]


def _judge_game(served):
    return lambda coalition: games.reschedule_value(served, coalition)


def _replay_judge(served):
    return lambda coalition: games.replay_value(served, coalition)


# Of the one layer of tests.systems.TINY: projections 8 x (1 + 1 + 1 + 1) x 8, gated
# feed-forward 3 x 8 x 8; a head of 8 x 8; 2 products of 8 numbers a pair.
TINY_FLOP = shares.Flop(token=2 * (256 + 192), row=2 * 64, pair=2 * 2 * 8)

JUDGES = {
    "shapley": lambda s, n: shapley_by_subsets(_judge_game(s), n),
    "leave_one_out": lambda s, n: leave_one_out(_judge_game(s), n),
    "tokens": lambda s, n: shares.token_shares(s, 1, 1),
    "tokens_priced": lambda s, n: shares.token_shares(s, 1, 4),
    "time": lambda s, n: shares.time_shares(s),
    "energy_per_token": lambda s, n: shares.energy_per_token_shares(s),
    "standalone": lambda s, n: shares.standalone_shares(s),
    "utilization": lambda s, n: shares.utilization_shares(s, TINY_FLOP),
    "demand": lambda s, n: shares.demand_shares(s),
    "iteration_equal": lambda s, n: shares.iteration_equal_shares(s),
    "iteration_tokens": lambda s, n: shares.iteration_token_shares(s),
    "replay": lambda s, n: shapley_by_subsets(_replay_judge(s), n),
    "streaming": lambda s, n: streaming.streaming_shares(s),
}
JUDGED_ELSEWHERE = {"aumann_shapley", "retimed", "sampled"}


@pytest.mark.parametrize("provisioning", PROVISIONING)
@pytest.mark.parametrize("name", JUDGES)
def test_shares_are_the_judge_s(name, provisioning):
    rng = np.random.default_rng(7)
    for case in CASES[:4]:
        served, workload, system = judged(case, rng, provisioning)
        ours = attribute(workload, system, method=name)
        theirs = np.array(JUDGES[name](served, len(case.requests)))
        np.testing.assert_allclose(
            ours.shares, theirs, rtol=1e-6, atol=1e-7 * np.abs(theirs).max()
        )


def test_every_method_has_a_judge():
    assert set(JUDGES) | JUDGED_ELSEWHERE == set(methods())


@pytest.mark.parametrize("name", [n for n in methods() if find_entry(n).of_run])
def test_a_method_s_own_run_is_the_one_that_is_served(name):
    rng = np.random.default_rng(13)
    _, workload, system = judged(CASES[1], rng, "on_demand")
    entry, served = find_entry(name), serve(workload, system)
    assert entry.of_run is not None
    found, timeline = entry.of_run(workload, system)
    alone = entry.method(None, workload=workload, system=system, timeline=served)
    pairs = [(vars(timeline), vars(served))]
    pairs += [(getattr(found, x), getattr(alone, x)) for x in ("emissions", "remainder")]
    for ours, theirs in pairs:
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("idle", IDLE_RULES)
@pytest.mark.parametrize("name", [*JUDGES, *sorted(JUDGED_ELSEWHERE - {"aumann_shapley"})])
def test_shares_and_unattributed_close(name, idle):
    rng = np.random.default_rng(8)
    for case in CASES[:3]:
        player = np.arange(len(case.requests)) % 3 % len(case.requests)
        if len(set(player.tolist())) < player.max() + 1:
            continue
        _, workload, system = judged(case, rng, "always_on", player.tolist())
        result = attribute(workload, system, method=name, idle=idle)
        assert abs(result.residual) <= 1e-9 * result.total
        assert sum(result.components.values()) == pytest.approx(result.shares)
        left = sum(result.unattributed_components.values())
        assert left == pytest.approx(result.unattributed, abs=1e-12)
        if name != "leave_one_out":  # which leaves what players share to nobody
            everything = abs(result.unattributed) < 1e-9 * result.total
            assert everything == (idle != "unattributed")


@pytest.mark.parametrize("provisioning", PROVISIONING)
def test_electricity_is_shared_like_operational_carbon(provisioning):
    """At constant intensity the two are one quantity in two units."""

    rng = np.random.default_rng(9)
    for name in JUDGES:
        _, workload, system = judged(CASES[0], rng, provisioning)
        edges_s = system.carbon_intensity.edges_s
        constant = Intensity(edges_s, np.full(len(edges_s) - 1, 360.0))
        system = eqx.tree_at(lambda s: s.carbon_intensity, system, constant)
        result = attribute(workload, system, method=name, idle="equal")
        np.testing.assert_allclose(
            result.emissions.operational,
            result.energy_j * 360 / 3.6e6,
            rtol=1e-9,
            atol=1e-15,
        )


def test_streaming_is_near_the_replay_game_s_shapley_value():
    """The two differ by the cost's curvature alone, for these costs by a few percent."""
    rng = np.random.default_rng(10)
    for case in CASES[:9]:
        _, workload, system = judged(case, rng, "always_on")
        exact = find_method("shapley")(ReplayGame(workload, system))
        ours = attribute(workload, system, method="streaming")
        distance = np.abs(ours.shares - exact.shares).sum() / exact.shares.sum()
        assert distance < 0.05


def test_a_tenant_is_one_participant():
    """Requests of one player share one part of the fixed price, others pay theirs."""
    case = next(c for c in CASES if len(c.requests) >= 4)
    rng = np.random.default_rng(12)
    player = [0, *([1] * (len(case.requests) - 1))]
    _, workload, system = judged(case, rng, "always_on", player)
    tenants = attribute(workload, system, method="streaming").shares
    requests = attribute(workload.by_request(), system, method="streaming").shares
    assert tenants.sum() == pytest.approx(requests.sum(), rel=1e-9)
    assert tenants[0] >= requests[0]
    exact = find_method("shapley")(ReplayGame(workload, system)).shares
    assert np.abs(tenants - exact).max() < 0.05 * np.abs(exact).max()


def test_null_players_pay_nothing():
    rng = np.random.default_rng(13)
    for case in CASES:
        null = [request.is_null for request in case.requests]
        if not any(null):
            continue
        _, workload, system = judged(case, rng, "always_on")
        for name in JUDGES:
            shares = attribute(workload, system, method=name, idle="equal").shares
            np.testing.assert_allclose(shares[null], 0.0, atol=1e-12)
        return


def test_equal_requests_make_one_kind():
    rng = np.random.default_rng(14)
    request = CASES[0].requests[0]
    case = CASES[0]._replace(requests=[request] * 4)
    _, workload, system = judged(case, rng, "always_on")
    game = ServingGame(workload, system)
    assert game.kinds == (0, 0, 0, 0)
    shares = find_method("shapley")(game).shares
    np.testing.assert_allclose(shares, shares[0], rtol=1e-12)


@pytest.mark.parametrize("argument", [{"method": "shaply"}, {"idle": "somehow"}])
def test_unknown_names_are_refused_with_the_known(argument):
    _, workload, system = judged(CASES[0], np.random.default_rng(15), "always_on")
    with pytest.raises(InputError, match="shapley|usage"):
        attribute(workload, system, **argument)


def test_a_method_says_what_it_needs():
    with pytest.raises(InputError, match="`workload` and `system`"):
        find_method("streaming")(None)
    with pytest.raises(InputError, match="`game`"):
        find_method("shapley")(None)
