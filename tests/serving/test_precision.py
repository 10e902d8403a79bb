"""32-bit floats: the clock and sums of many terms keep what rounding would lose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._attribution.exact import shapley
from carbjax._games.table import TableGame
from carbjax._serving.engine import _add
from carbjax._serving.serve import serve
from carbjax._workload import Workload
from tests.reference.workloads import cases
from tests.systems import judged


def test_a_clock_of_many_steps_is_as_exact_as_one_addition():
    steps = np.random.default_rng(1).uniform(1e-3, 2e-2, 20_000).astype(np.float32)

    def tick(clock, step):
        time, hidden = clock
        return _add(time, step + hidden), None

    zero = jnp.zeros((), jnp.float32)
    (end, hidden), _ = jax.lax.scan(tick, (zero, zero), jnp.asarray(steps))
    exact = steps.astype(float).sum()
    assert end.dtype == np.float32
    assert abs(float(end) - exact) <= np.spacing(np.float32(exact)) / 2
    assert float(end) + float(hidden) == pytest.approx(exact, rel=1e-9)


def test_a_busy_run_ends_when_it_does_in_64_bits():
    """Each of some thousand steps rounds the clock by up to 4e-6 s."""
    case = next(c for c in cases(7, 50, max_requests=4) if c.policy == "prefill_first")
    rng = np.random.default_rng(2)
    count = 400

    def finish():
        _, few, system = judged(case, np.random.default_rng(1), "always_on")
        arrival = few.start_s + np.linspace(0.0, 1.0, count)
        many = Workload(arrival, prompts, answers, epoch=few.epoch)
        return np.asarray(serve(many, system).finish_s) - few.start_s

    prompts, answers = rng.integers(1, 30, count), rng.integers(1, 20, count)
    truth = finish()
    with jax.enable_x64(False):
        gaps = np.abs(finish() - truth)
    assert np.median(gaps) < np.spacing(np.float32(truth.max()))


def test_arrivals_after_hours_join_the_iterations_that_they_join_in_64_bits():
    """Seconds of 32 bits lie 1 ms apart by then, about as long as an iteration."""
    case = next(c for c in cases(7, 50, max_requests=4) if c.policy == "prefill_first")
    rng = np.random.default_rng(3)
    count = 300
    arrival = np.r_[0.0, 10_000 + np.sort(rng.uniform(0, 1.0, count - 1))]
    prompts, answers = rng.integers(1, 30, count), rng.integers(1, 20, count)

    def work():
        _, few, system = judged(case, np.random.default_rng(1), "always_on")
        many = Workload(few.start_s + arrival, prompts, answers, epoch=few.epoch)
        timeline = serve(many, system)
        return timeline.num_iterations, timeline.energy_j

    iterations, energy_j = work()
    with jax.enable_x64(False):
        fewer_bits = work()
    assert fewer_bits[0] == iterations
    assert fewer_bits[1] == pytest.approx(energy_j, rel=1e-5)


def test_shares_of_a_large_game_do_not_add_up_roundings():
    """All values hold something large that is nobody's doing but the first player's."""
    values = np.random.default_rng(3).uniform(0, 1, 2**14)
    values += 16.0 * (np.arange(2**14) % 2)
    values[0] = 0.0
    truth = shapley(TableGame(values))
    with jax.enable_x64(False):
        found = shapley(TableGame(values.astype(np.float32)))
    assert np.abs(np.asarray(found) - np.asarray(truth)).max() < 4e-6
