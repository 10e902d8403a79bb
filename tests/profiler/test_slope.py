"""Power from a counter that ticks every 100 ms and looks for a quarter of the time."""

import math

import numpy as np
import pytest

from carbjax._profiler.slope import power_from_counter

TICK_S = 0.1
SAMPLED_S = 0.025


def _readings(power_fn, seed, duration=2.0, noise=0.01):
    """Times and energies as a host sees them, every 10 to 20 ms."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, TICK_S)
    ticks = np.arange(-1, duration / TICK_S + 1) * TICK_S + phase
    seen = [
        np.mean(power_fn(np.linspace(t - SAMPLED_S, t, 200))) * (1 + rng.normal(0, noise))
        for t in ticks
    ]
    counter = 1e6 + np.cumsum(np.array(seen) * TICK_S)
    times = np.cumsum(rng.uniform(0.01, 0.02, size=int(duration / 0.015)))
    energy = counter[np.searchsorted(ticks, times, side="right") - 1]
    return times, np.round(energy, 3)  # millijoules


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("power", [75.0, 689.0])
def test_steady_power_is_found_within_one_percent(power, seed):
    times, energy = _readings(lambda t: np.full_like(t, power), seed)
    found = power_from_counter(times, energy)
    assert abs(found.power_w / power - 1) < 0.01
    assert found.num_ticks >= 17


def test_a_loop_of_a_few_milliseconds_is_averaged():
    def power_fn(t):
        return 400.0 + 200.0 * np.sign(np.sin(2 * np.pi * t / 0.0037))

    found = power_from_counter(*_readings(power_fn, seed=1))
    assert abs(found.power_w / 400.0 - 1) < 0.02


def test_the_ends_of_the_window_add_nothing_that_first_and_last_would():
    errors = []
    for seed in range(20):
        times, energy = _readings(lambda t: np.full_like(t, 500.0), seed, noise=0.0)
        ends = (energy[-1] - energy[0]) / (times[-1] - times[0])
        slope = power_from_counter(times, energy).power_w
        errors.append((abs(slope / 500 - 1), abs(ends / 500 - 1)))
    ours, of_ends = np.mean(errors, axis=0)
    assert ours < of_ends / 3


def test_the_standard_error_tells_the_error():
    found = [
        power_from_counter(*_readings(lambda t: np.full_like(t, 300.0), s, noise=0.0))
        for s in range(60)
    ]
    actual = np.std([f.power_w for f in found])
    said = np.sqrt(np.mean([f.stderr_w**2 for f in found]))
    assert 0.5 < said / actual < 2.0


def test_a_counter_that_stands_still_tells_no_power():
    times = np.arange(0, 2, 0.015)
    found = power_from_counter(times, np.full_like(times, 5.0))
    assert math.isnan(found.power_w) and found.num_ticks == 0
