"""Aumann-Shapley over token counts, against dense finite differences and its laws."""

import functools as ft

import numpy as np
import pytest

from carbjax._attribution.attribute import attribute
from carbjax._attribution.aumann_shapley import Ray, aumann_shapley
from carbjax._attribution.token_rays import IN_CARBON
from carbjax._carbon.emissions import COMPONENTS
from carbjax._errors import InputError, WorkloadError
from carbjax._workload import Workload
from tests.reference.workloads import cases
from tests.systems import judged

NUM_REQUESTS = 4  # always, so that few sizes are compiled
KINDS = {
    "prefill_first": "on_demand",
    "chunked_prefill": "always_on",
    "static": "on_demand",
}


@ft.cache
def _runs(policy: str, count: int) -> tuple:
    """Random workloads of four requests and their systems, of one policy."""
    rng, found = np.random.default_rng(21), []
    for case in cases(21, 1500, max_requests=5, max_answer=60):
        nulls = any(r.is_null for r in case.requests)
        if case.policy != policy or len(case.requests) != NUM_REQUESTS or nulls:
            continue
        if case.caps.max_num_batched_tokens < 30:  # hundreds of chunks
            continue
        found.append(judged(case, rng, KINDS[policy])[1:])
        if len(found) == count:
            break
    return tuple(found)


def _equal_requests(count: int):
    """A system, and requests of which some are equal and in chunks of their own."""
    workload, system = _runs("chunked_prefill", 1)[0]
    start = workload.start_s
    prompts, answers = [70] * NUM_REQUESTS, [9] * NUM_REQUESTS
    for i in range(count, NUM_REQUESTS):
        prompts[i], answers[i] = 50 + 7 * i, 5 * i
    equal = Workload([start] * NUM_REQUESTS, prompts, answers, epoch=workload.epoch)
    return equal, system


def _dense_differences(ray: Ray, *, nodes=500, shift=0.02):
    """`integral_0^1 d C / d log x_i dtau / tau` by the mid-point rule: slow, obvious.

    A shift much wider than the distance between nodes smooths kinks and jumps alike.
    """
    tau = (np.arange(nodes) + 0.5) / nodes
    total = np.zeros(ray.tokens.size)
    for k in range(ray.tokens.size):
        factor = np.ones((2, ray.tokens.size))
        factor[:, k] += shift * np.array([-1, 1])
        below, above = (
            ray.rays.values(tau[:, None, None] * ray.tokens * f.reshape(2, -1)) @ IN_CARBON
            for f in factor
        )
        total[k] = np.mean((above - below) / (2 * shift * tau))
    return total.reshape(2, -1)


@pytest.mark.parametrize("policy", KINDS)
def test_parts_are_dense_finite_differences(policy):
    for workload, system in _runs(policy, 2):
        found = aumann_shapley(workload, system, accuracy=1e-3)
        judge = _dense_differences(Ray(workload, system))
        ours = np.stack([found.prefill_tokens, found.decode_tokens])
        assert np.abs(ours - judge).sum() < 0.02 * found.shares.sum()


@pytest.mark.parametrize("policy", KINDS)
def test_what_is_not_attributed_is_accounted_for(policy):
    for workload, system in _runs(policy, 4):
        found = aumann_shapley(workload, system, accuracy=1e-3)
        assert found.shares.sum() + found.unattributed == pytest.approx(
            found.total, rel=1e-12
        )
        served = found.shares.sum()
        standing = attribute(workload, system, method="streaming").unattributed
        left = found.unattributed - standing - found.engine_gap
        assert abs(left) == pytest.approx(found.completeness_error, abs=1e-9 * served)
        if len(found.flags) == 1:  # accurate, and no jump lost
            assert found.completeness_error < 2e-3 * served
        parts = found.prefill_tokens + found.decode_tokens + found.fixed
        np.testing.assert_allclose(parts, found.shares, rtol=1e-12)


@pytest.mark.slow  # a size of its own to compile
def test_what_one_request_alone_emits_is_all_its_own():
    workload, system = _runs("chunked_prefill", 1)[0]
    alone = workload.select(slice(0, 1))
    found = aumann_shapley(alone, system, accuracy=1e-5)
    closed = found.shares[0] + found.engine_gap
    emitted = attribute(alone, system, method="streaming").shares[0]
    assert closed == pytest.approx(emitted, rel=1e-4)


@pytest.mark.parametrize("count", [2, 3])
def test_equal_requests_have_equal_shares(count):
    """Though the engine reads one's prompt before the other's, and who is last pays."""
    workload, system = _equal_requests(count)
    found = aumann_shapley(workload, system)
    for parts in (found.prefill_tokens, found.decode_tokens, found.shares):
        np.testing.assert_allclose(parts[:count], parts[0], rtol=1e-12)
    assert abs(found.shares[-1] / found.shares[0] - 1) > 1e-3


def test_the_mean_over_equals_is_the_mean_over_their_orders():
    """Not renormalised: the exchange of equals in the queue permutes what they pay."""
    workload, system = _equal_requests(2)
    ray = Ray(workload, system)
    path = ray.integrate(1e-3, 4000)
    paid = (IN_CARBON @ path.parts.reshape(len(IN_CARBON), -1)).reshape(2, -1)
    found = aumann_shapley(workload, system)
    exchanged = paid[:, [1, 0, 2, 3]]
    if not path.jumps:
        both = np.stack([found.prefill_tokens, found.decode_tokens])
        np.testing.assert_allclose(both, (paid + exchanged) / 2, rtol=1e-9)
    assert found.completeness_error < 2e-3 * found.shares.sum()


def test_the_order_of_a_workload_does_not_matter():
    workload, system = _runs("chunked_prefill", 2)[1]
    order = np.argsort(-workload.arrival_s, kind="stable")
    if len(set(workload.arrival_s)) < NUM_REQUESTS:
        pytest.skip("requests that arrive at once are served in the order given")
    turned = Workload(
        workload.arrival_s[order],
        workload.num_prefill_tokens[order],
        workload.num_decode_tokens[order],
        epoch=workload.epoch,
    )
    ours, theirs = (aumann_shapley(w, system).shares for w in (workload, turned))
    np.testing.assert_allclose(ours[order], theirs, rtol=1e-9)


def test_null_players_pay_nothing_and_tenants_pay_for_all_their_requests():
    workload, system = _runs("chunked_prefill", 1)[0]
    mixed = Workload(
        np.r_[workload.arrival_s, workload.start_s - 1],
        np.r_[workload.num_prefill_tokens, 0],
        np.r_[workload.num_decode_tokens, 0],
        [0, 1, 0, 1, 2],
        workload.epoch,
    )
    alone = aumann_shapley(workload, system).shares
    tenants = aumann_shapley(mixed, system).shares
    expected = [alone[0] + alone[2], alone[1] + alone[3], 0.0]
    np.testing.assert_allclose(tenants, expected, rtol=1e-9, atol=0)


def test_it_is_a_method_by_name():
    workload, system = _runs("prefill_first", 1)[0]
    found = aumann_shapley(workload, system)
    named = attribute(workload, system, method="aumann_shapley")
    np.testing.assert_allclose(named.shares, found.shares, rtol=1e-12)
    assert abs(named.residual) <= 1e-9 * named.total
    assert sum(named.components[c] for c in COMPONENTS) == pytest.approx(named.shares)
    assert any("unattributed" in flag for flag in named.flags)
    spread = attribute(workload, system, method="aumann_shapley", idle="equal")
    assert abs(spread.residual) <= 1e-9 * spread.total


def test_too_few_nodes_are_flagged():
    workload, system = _runs("chunked_prefill", 2)[1]
    found = aumann_shapley(workload, system, accuracy=1e-7, max_nodes=40)
    assert "not enough" in found.flags[-1]


@pytest.mark.parametrize(
    "setting", [{"accuracy": 0.0}, {"accuracy": float("nan")}, {"max_nodes": 0}]
)
def test_settings_that_cannot_be_used_are_refused(setting):
    workload, system = _runs("chunked_prefill", 1)[0]
    with pytest.raises(InputError, match=next(iter(setting))):
        aumann_shapley(workload, system, **setting)


def test_a_workload_that_asks_for_nothing_is_refused():
    workload, system = _runs("chunked_prefill", 1)[0]
    nothing = workload.with_tokens([0] * NUM_REQUESTS, [0] * NUM_REQUESTS)
    with pytest.raises(WorkloadError, match="0 prompt and 0 decode"):
        aumann_shapley(nothing, system)
