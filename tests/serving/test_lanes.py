"""Many runs in lockstep, lanes last, against the same runs one at a time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._carbon.intensity import Intensity, RelativeIntensity
from carbjax._serving.engine import Server
from carbjax._serving.observers import TimesObserver, TotalsObserver
from carbjax._serving.policies import POLICIES
from carbjax._serving.queue import make_queue
from carbjax._serving.run import run
from tests.engine_cases import ReferenceCost, case_caps, case_queue, pad_queue
from tests.reference.workloads import cases
from tests.systems import judged

CONSTANT = Intensity.constant(400.0).relative(None)
SLOTS, LANES = 12, 16


@eqx.filter_jit
def _in_lockstep(present, queue, server, observers):
    def shared(x):
        return x[:, None]

    columns = queue.arrival, queue.reservation - queue.decode.astype(int), queue.decode
    arrival, prefill, decode = map(shared, columns)
    lanes = make_queue(present, arrival, prefill, decode.astype(int))
    return run(lanes, server, observers)


@eqx.filter_jit
def _one(present, queue, server, observers):
    decode = queue.decode.astype(int)
    prefill = queue.reservation - decode
    return run(make_queue(present, queue.arrival, prefill, decode), server, observers)


def _observers():
    case = next(iter(cases(0, 1)))
    _, _, system = judged(case, np.random.default_rng(0), "on_demand")
    return TotalsObserver(system.footprint), TimesObserver()


@pytest.mark.parametrize("policy", POLICIES)
def test_lanes_are_runs_of_their_own(policy):
    rng, observers = np.random.default_rng(4), _observers()
    chosen = [case for case in cases(0, 60) if case.policy == policy]
    for case in chosen[:8]:
        queue, _ = case_queue(case)
        queue = pad_queue(queue, SLOTS)
        server = Server(ReferenceCost(case.cost), case_caps(case), CONSTANT, policy)
        present = jnp.asarray(rng.random((SLOTS, LANES)) < 0.6) & queue.present[:, None]
        progress, accounts = _in_lockstep(present, queue, server, observers)
        for lane in range(LANES):
            alone, one = _one(present[:, lane], queue, server, observers)
            mine = jax.tree.map(lambda x, k=lane: x[..., k], accounts)
            assert progress.time[lane] == pytest.approx(float(alone.time), rel=1e-12)
            same = jax.tree.map(
                lambda a, b: np.allclose(a, b, rtol=1e-12, equal_nan=True), mine, one
            )
            assert all(jax.tree.leaves(same))


def test_a_lane_that_has_finished_is_left_alone():
    """Few long steps beside many short ones; nobody knows the intensity afterwards."""
    case = next(iter(cases(0, 1)))
    tokens = np.array([[5, 400]] + [[5, 2 + k] for k in range(SLOTS - 1)])
    arrival = jnp.asarray([0.0, *1e-3 * np.arange(SLOTS - 1)])
    queue = make_queue(jnp.ones(SLOTS, bool), arrival, *jnp.asarray(tokens).T)
    long = jnp.arange(SLOTS) == 0
    server = Server(ReferenceCost(case.cost), case_caps(case), CONSTANT, "prefill_first")
    end = float(_one(long, queue, server, _observers())[0].time)
    until = RelativeIntensity(
        jnp.array([0.0, end]), jnp.array([400.0]), jnp.array([0.0, 400.0 * end])
    )
    server = eqx.tree_at(lambda s: s.intensity, server, until)
    present = jnp.stack([long, ~long], axis=1)
    progress, (totals, _) = _in_lockstep(present, queue, server, _observers())
    assert progress.time[1] < progress.time[0] == end
    _, (alone, _) = _one(long, queue, server, _observers())
    emitted = totals.totals.emissions.total
    assert emitted[0] == pytest.approx(float(alone.totals.emissions.total), rel=1e-12)
