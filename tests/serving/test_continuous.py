"""The continuous engine: its distance to the integer one, and its derivatives."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carbjax as cj
from carbjax._serving.engine import has_work
from carbjax._serving.observers import TotalsObserver
from carbjax._serving.policies import POLICIES
from carbjax._serving.queue import make_queue
from carbjax._serving.run import run, run_bounded
from carbjax._serving.whole import run_whole
from tests.criteria.sinners import tiny_system
from tests.reference.workloads import cases
from tests.systems import judged

NUM_REQUESTS, MAX_STEPS = 4, 400


def _queue(tokens, arrival):
    return make_queue(jnp.ones(NUM_REQUESTS, bool), arrival, tokens[0], tokens[1])


@eqx.filter_jit
def _emitted(tokens, arrival, server, footprint):
    _, (account,) = run(_queue(tokens, arrival), server, (TotalsObserver(footprint),))
    return account.totals.emissions.total


@eqx.filter_jit
def _reverse(tokens, arrival, server, footprint):
    def emitted(tokens):
        queue = _queue(tokens, arrival)
        observers = (TotalsObserver(footprint),)
        progress, (account,) = run_bounded(queue, server, observers, max_steps=MAX_STEPS)
        return account.totals.emissions.total, has_work(queue, progress)

    return jax.value_and_grad(emitted, has_aux=True)(tokens)


@eqx.filter_jit
def _forward(tokens, *where):
    return jax.jacfwd(lambda t: _emitted(t, *where))(tokens)


def _runs(count, provisioning="always_on", policies=tuple(POLICIES)):
    """Random small runs: integer tokens, and what `_emitted` takes besides."""
    rng = np.random.default_rng(3)
    for case in cases(3, 40 * count, max_requests=6, max_answer=100):
        if len(case.requests) != NUM_REQUESTS or any(r.is_null for r in case.requests):
            continue
        if case.caps.max_num_batched_tokens < 30:  # many chunks, more than MAX_STEPS
            continue
        if case.policy not in policies:
            continue
        _, workload, system = judged(case, rng, provisioning)
        whole = run_whole(workload, system, (), pad=False)
        arrangement = whole.arrangement
        tokens = jnp.stack([arrangement.prefill, arrangement.decode])
        yield tokens, (arrangement.arrival, whole.server, system.footprint)
        count -= 1
        if count == 0:
            return


def _shorter(tokens, rng):
    """The tokens less a random part of one, where no two requests tie."""
    real = tokens.astype(float)
    return real - jnp.asarray(rng.uniform(0.05, 0.95, tokens.shape)) * jnp.minimum(real, 1)


def test_whole_tokens_give_nearly_the_integer_engine_s_emissions():
    """They differ by the wait for the end of an iteration when somebody arrives."""
    gaps = []
    for tokens, where in _runs(24):
        whole = float(_emitted(tokens, *where))
        gaps.append(abs(float(_emitted(tokens.astype(float), *where)) / whole - 1))
    assert np.median(gaps) < 1e-6
    assert max(gaps) < 0.05


@pytest.mark.parametrize(
    "provisioning, policies",
    [("always_on", tuple(POLICIES)), ("on_demand", ("chunked_prefill",))],
)
def test_reverse_and_forward_derivatives_agree(provisioning, policies):
    rng = np.random.default_rng(4)
    for tokens, where in _runs(6, provisioning, policies):
        point = _shorter(tokens, rng)
        (value, unfinished), gradient = _reverse(point, *where)
        assert not unfinished
        assert value == pytest.approx(float(_emitted(point, *where)), rel=1e-12)
        forward = _forward(point, *where)
        np.testing.assert_allclose(
            gradient, forward, rtol=1e-9, atol=1e-12 * float(jnp.abs(forward).max())
        )


def test_derivatives_are_finite_differences():
    rng = np.random.default_rng(5)
    step = 1e-5
    for tokens, where in _runs(12):
        point = _shorter(tokens, rng)
        _, gradient = _reverse(point, *where)
        direction = jnp.where(point > 0, jnp.asarray(rng.normal(size=point.shape)), 0.0)
        ahead = _emitted(point + step * direction, *where)
        behind = _emitted(point - step * direction, *where)
        slope = float(jnp.sum(gradient * direction))
        assert slope == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-4)


def test_tied_requests_have_equal_derivatives():
    (_, where), *_ = list(_runs(1))
    arrival, server, footprint = where
    arrival = jnp.zeros_like(arrival)
    tokens = jnp.tile(jnp.array([[40.5], [7.25]]), (1, NUM_REQUESTS))
    _, gradient = _reverse(tokens, arrival, server, footprint)
    assert jnp.all(jnp.isfinite(gradient))


def test_a_request_that_never_fits_ends_the_run_without_a_number():
    (tokens, (arrival, server, footprint)), *_ = list(_runs(1))
    caps = eqx.tree_at(lambda s: s.caps.kv_capacity_tokens, server, jnp.asarray(1))
    queue = _queue(tokens.at[:, 0].set(5), arrival)
    progress, _ = eqx.filter_jit(run)(queue, caps, (TotalsObserver(footprint),))
    assert jnp.isnan(progress.time)


def test_prices_of_tokens_come_by_differentiation():
    """The public door: what one more token of each prompt and answer emits."""
    workload = cj.Workload([0.3, 0.0, 0.1], [800, 500, 300], [40, 60, 20])
    system = cj.System.load()
    serving = cj.ContinuousServing(workload, system)
    prefill, decode = (
        jnp.asarray(t, float)
        for t in (workload.num_prefill_tokens, workload.num_decode_tokens)
    )
    priced = jax.jit(jax.value_and_grad(lambda p, d: serving(p, d).total, argnums=(0, 1)))
    emitted, prices = priced(prefill, decode)
    assert emitted == pytest.approx(cj.serve(workload, system).carbon_g, rel=1e-2)
    for price in prices:
        # One price may be below 0: a longer prompt can bring others together.
        assert jnp.all(jnp.isfinite(price)) and jnp.sum(price) > 0
    step = 1e-4 * jnp.eye(3)[0]
    ahead, behind = (priced(prefill + s, decode)[0] for s in (step, -step))
    assert prices[0][0] == pytest.approx(float(ahead - behind) / 2e-4, rel=1e-4)


def test_more_steps_than_allowed_are_not_a_number():
    workload = cj.Workload([0.0], [10], [2])
    system = dataclasses.replace(tiny_system(), max_num_batched_tokens=8)
    serving = cj.ContinuousServing(workload, system)
    assert jnp.isnan(serving(jnp.array([1000.0]), jnp.array([2.0])).total)


def test_null_players_are_refused():
    workload = cj.Workload([0.0, 1.0], [10, 0], [2, 0])
    with pytest.raises(cj.WorkloadError, match="request 1"):
        cj.ContinuousServing(workload, cj.System.load())
