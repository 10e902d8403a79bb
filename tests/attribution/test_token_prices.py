"""Prices of tokens and elasticities of shares, against finite differences."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._attribution.elasticities import elasticities
from carbjax._attribution.per_iteration import TokensObserver
from carbjax._attribution.streaming import StreamingObserver
from carbjax._attribution.token_prices import token_prices
from carbjax._attribution.token_rays import IN_CARBON, TokenRays
from carbjax._errors import InputError, WorkloadError
from carbjax._serving.continuous import ContinuousServing
from carbjax._serving.system import System
from carbjax._workload import Workload
from tests.reference.workloads import cases
from tests.systems import judged

STEP = 1e-5  # tokens
PROMPTS, ANSWERS = [90, 40, 60, 60], [12, 31, 7, 7]


def _served(prompts=PROMPTS, answers=ANSWERS):
    """Four requests, the last two equal, on a random machine with chunked prefill."""
    case = next(
        case
        for case in cases(31, 300, max_requests=6, max_answer=60)
        if case.policy == "chunked_prefill"
        and case.caps.max_num_batched_tokens > 100
        and case.caps.max_num_seqs >= 4
        and case.caps.kv_capacity_tokens > 500
    )
    _, real, system = judged(case, np.random.default_rng(31), "always_on")
    arrival = real.start_s + np.array([0.0, 0.011, 0.03, 0.03])
    return Workload(arrival, prompts, answers, epoch=real.epoch), system


def _tokens(workload):
    return np.stack(
        [workload.num_prefill_tokens, workload.num_decode_tokens + 2 * STEP]
    ).astype(float)


def _moved(tokens, who, phase, step):
    change = np.zeros_like(tokens)
    change[phase, who] = step
    return tokens + change


@pytest.mark.parametrize("phase", [0, 1])
def test_prices_are_finite_differences_of_the_total(phase):
    workload, system = _served()
    prices = token_prices(workload, system)
    rays = TokenRays(ContinuousServing(workload, system).requests)
    for who in (0, 1):
        pair = [_moved(_tokens(workload), who, phase, s) for s in (-STEP, STEP)]
        below, above = rays.values(np.stack(pair)) @ IN_CARBON
        price = (prices.prefill_tokens, prices.decode_tokens)[phase][who]
        assert price == pytest.approx((above - below) / (2 * STEP), rel=1e-3)


def test_equal_requests_have_equal_prices_that_add_up():
    """One token more for each of both: what both tokens emit together."""
    workload, system = _served()
    prices = token_prices(workload, system)
    assert prices.decode_tokens[2] == pytest.approx(prices.decode_tokens[3], rel=1e-12)
    rays = TokenRays(ContinuousServing(workload, system).requests)
    pair = np.stack([_tokens(workload)] * 2)
    pair[1, 1, 2:] += STEP
    below, above = rays.values(pair) @ IN_CARBON
    assert prices.decode_tokens[2:].sum() == pytest.approx((above - below) / STEP, rel=1e-3)


def test_what_has_no_price_has_none():
    workload, system = _served(prompts=[90, 0, 60, 0], answers=[12, 31, 7, 0])
    prices = token_prices(workload, system)
    assert np.isnan(prices.prefill_tokens).tolist() == [False, True, False, True]
    assert np.isnan(prices.decode_tokens).tolist() == [False, False, False, True]


@eqx.filter_jit
def _shares(serving, tokens, observer):
    return serving.observe(*tokens, (observer,))[0].slots.total


@pytest.mark.parametrize(
    "method", ["iteration_tokens", pytest.param("streaming", marks=pytest.mark.slow)]
)
def test_elasticities_are_finite_differences_of_the_method(method):
    workload, system = _served()
    if method == "streaming":  # the made-up cost has no second derivative at 0
        system = System.load(carbon_intensity=400.0)
    found = elasticities(workload, system, method=method)
    serving = ContinuousServing(workload, system).requests
    observer = {
        "iteration_tokens": TokensObserver(system.footprint),
        "streaming": StreamingObserver(system.cost, system.footprint, None),
    }[method]
    tokens = _tokens(workload)
    for phase, ours in enumerate((found.prefill_tokens, found.decode_tokens)):
        below, above = (
            _shares(serving, jnp.asarray(_moved(tokens, 1, phase, step)), observer)[1]
            for step in (-STEP, STEP)
        )
        slope = float(above - below) / (2 * STEP)
        judge = slope * tokens[phase, 1] / found.shares[1]
        assert ours[1] == pytest.approx(judge, rel=1e-3)
        assert ours[2] == pytest.approx(ours[3], rel=1e-9)


@pytest.mark.slow
def test_twice_everything_alone_is_what_the_arc_elasticities_say():
    """Of a request alone they are those of its total, the fixed part included."""
    workload, system = _served()
    alone = workload.select(slice(0, 1))
    found = elasticities(alone, system, method="aumann_shapley")
    rays = TokenRays(ContinuousServing(alone, system).requests)
    tokens = _tokens(alone)
    for phase, ours in enumerate((found.prefill_tokens, found.decode_tokens)):
        step = 0.05 * tokens[phase, 0]
        pair = [_moved(tokens, 0, phase, s) for s in (-step, step)]
        below, above = rays.values(np.stack(pair)) @ IN_CARBON
        assert ours[0] == pytest.approx((above - below) / 0.1 / found.shares[0], rel=0.05)


def test_methods_that_cannot_be_differentiated_are_named():
    workload, system = _served()
    with pytest.raises(InputError, match="streaming"):
        elasticities(workload, system, method="shapley")


@pytest.mark.parametrize("ask", [token_prices, elasticities])
def test_a_workload_that_asks_for_nothing_is_refused(ask):
    workload, system = _served(prompts=[0] * 4, answers=[0] * 4)
    with pytest.raises(WorkloadError, match="0 prompt and 0 decode"):
        ask(workload, system)
