"""The re-timed mean field against the judge, and the judge against the game."""

import functools as ft

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._attribution.attribute import attribute
from carbjax._attribution.retimed import retimed
from carbjax._carbon.intensity import Intensity
from carbjax._errors import InputError
from carbjax._games.serving import ServingGame
from carbjax._workload import Workload
from tests.reference import games
from tests.reference.retimed import retimed_shares, without
from tests.reference.shapley import shapley_by_subsets
from tests.reference.workloads import cases
from tests.systems import judged

# A policy is a compilation, so each provisioning has one.
POLICY = {"always_on": "chunked_prefill", "on_demand": "prefill_first"}
CASES = [
    case
    for case in cases(11, 150, max_requests=6, max_answer=80)
    if len(case.requests) == 4 and not all(request.is_null for request in case.requests)
]


@pytest.mark.parametrize("provisioning", ["always_on", "on_demand"])
def test_shares_are_the_judge_s(provisioning):
    """The ray has 32 pieces here and 300 nodes there."""
    rng = np.random.default_rng(31)
    few = [case for case in CASES if case.policy == POLICY[provisioning]][:3]
    for case in few:
        served, workload, system = judged(case, rng, provisioning)
        theirs = retimed_shares(served)
        ours = attribute(workload, system, "retimed")
        scale = 1e-3 * np.abs(theirs).max()
        np.testing.assert_allclose(ours.shares, theirs, rtol=1e-3, atol=scale)
        assert abs(ours.residual) < 1e-9 * ours.total


def _value(served, runs, coalition: frozenset[int]) -> float:
    """`F(S) + sum over m not in S of (F_m(S) - F(S without m))`, by replay."""
    value = games.replay_value(served, coalition)
    for absent in set(range(served.num_players)) - coalition:
        value += games.replay_value(runs[absent], coalition)
        value -= games.replay_value(served, coalition)
    return value


def test_the_judge_is_near_the_shapley_value_of_the_retimed_game():
    """They differ by the cost's curvature within a batch, as streaming's do."""
    rng = np.random.default_rng(35)
    few = [case for case in CASES if len(case.simulate().iterations) < 80][:6]
    for case in few:
        served, _, _ = judged(case, rng, "always_on")
        runs = [without(served, m) for m in range(served.num_players)]
        value = ft.partial(_value, served, runs)
        exact = np.array(shapley_by_subsets(value, served.num_players))
        distance = np.abs(retimed_shares(served) - exact).sum() / np.abs(exact).sum()
        assert distance < 0.03


def test_it_is_streaming_where_nobody_meets():
    case = next(c for c in CASES if c.policy == POLICY["always_on"])
    rng = np.random.default_rng(32)
    _, workload, system = judged(case, rng, "always_on")
    apart = Workload(
        1000.0 * np.arange(4), workload.num_prefill_tokens, workload.num_decode_tokens
    )
    intensity = Intensity.constant(100.0)
    system = eqx.tree_at(lambda s: s.carbon_intensity, system, intensity)
    ours, streaming = (attribute(apart, system, m).shares for m in ("retimed", "streaming"))
    np.testing.assert_allclose(ours, streaming, rtol=1e-6)


def test_null_players_pay_nothing_and_equal_ones_the_same():
    rng = np.random.default_rng(33)
    case = next(c for c in CASES if c.policy == POLICY["always_on"])
    first = next(r for r in case.requests if not r.is_null)
    nothing = first._replace(num_prefill_tokens=0, num_decode_tokens=0)
    case = case._replace(requests=[first, first, nothing, first])
    _, workload, system = judged(case, rng, "always_on")
    shares = attribute(workload, system, "retimed").shares
    assert shares[2] == 0.0
    np.testing.assert_allclose(shares[[0, 1, 3]], shares.sum() / 3, rtol=1e-9)


def test_tenants_are_players():
    """The shares of one tenant alone are all there is; of two, they close."""
    rng = np.random.default_rng(34)
    case = next(c for c in CASES if c.policy == POLICY["on_demand"])
    for player in ([0, 0, 0, 0], [0, 1, 1, 0]):
        _, workload, system = judged(case, rng, "on_demand", player)
        found = retimed(None, workload=workload, system=system)
        game = ServingGame(workload, system)
        whole = float(game(jnp.ones(game.num_players, bool)))
        assert found.shares.sum() == pytest.approx(whole, rel=1e-6)
        assert abs(found.residual) < 1e-9 * found.total


def test_it_says_what_it_needs():
    with pytest.raises(InputError, match="`workload` and `system`"):
        retimed(None)
