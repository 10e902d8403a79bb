"""Carbon of small timelines, by hand, and of random ones, by a fine sum over time."""

import numpy as np
import pytest

from .carbon import JOULES_PER_KWH, Machine, intensity_integral, served_carbon
from .simulator import Caps, Request, simulate
from .workloads import cases, random_machine

CAPS = Caps(max_num_seqs=8, max_num_batched_tokens=4)
# 3.6e6 g/kWh is 1 g/J, so grams can be read as joules.
MACHINE = Machine(
    idle_power_w=2.0,
    host_power_w=3.0,
    pue=2.0,
    intensity=((0.0, 1.5, JOULES_PER_KWH), (1.5, 100.0, 10 * JOULES_PER_KWH)),
    embodied_g_per_s=0.25,
    provisioning="always_on",
)
ON_DEMAND = MACHINE._replace(provisioning="on_demand")


def cost(features):
    return 1.0 + 0.0 * features.num_tokens, 10.0 + features.num_tokens


def served(requests, machine, **window):
    result = simulate([Request(*r) for r in requests], "chunked_prefill", CAPS, cost)
    return served_carbon(result, machine, cost, **window)


def test_always_on_by_hand():
    carbon = served([(0.0, 3, 2), (4.0, 1, 1)], MACHINE)
    # Net of 2 W: 11 J of prefill at 1 g/J, then 9 J half at 1 and half at 10 g/J;
    # the second request's 9 J at 10. All times PUE 2.
    assert carbon.prefill == pytest.approx(2 * (11 + 9 * 10))
    assert carbon.decode == pytest.approx(2 * 9 * 5.5)
    # 5 W of idle and host over [0, 5]: 1.5 s at 1 and 3.5 s at 10 g/J.
    assert carbon.idle == pytest.approx(2 * 5 * (1.5 + 35))
    assert carbon.embodied == pytest.approx(0.25 * 5)


def test_on_demand_by_hand():
    carbon = served([(0.0, 3, 2), (4.0, 1, 1)], ON_DEMAND)
    assert carbon.prefill == pytest.approx(2 * (16 + 14 * 10))
    assert carbon.decode == pytest.approx(2 * 14 * 5.5)
    assert carbon.idle == 0.0
    assert carbon.embodied == pytest.approx(0.25 * 3)


def test_given_window_moves_idle_and_embodied_only():
    short = served([(0.0, 3, 2)], MACHINE, window=(0.0, 1.0))
    long = served([(0.0, 3, 2)], MACHINE, window=(0.0, 11.0))
    # The second iteration lies after the end of the short window, and counts.
    assert short[:2] == long[:2] == pytest.approx((2 * 11, 2 * 9 * 5.5))
    assert long.idle - short.idle == pytest.approx(2 * 5 * (0.5 + 95))
    assert long.embodied - short.embodied == pytest.approx(2.5)


def test_nobody_still_pays_for_the_window():
    carbon = served([(0.0, 0, 0)], MACHINE, window=(0.0, 2.0))
    assert carbon == pytest.approx((0, 0, 2 * 5 * (1.5 + 5), 0.5))
    assert served([(0.0, 0, 0)], ON_DEMAND, window=(0.0, 2.0)).total == 0.0


@pytest.mark.parametrize("machine, kept", [(MACHINE, 8), (ON_DEMAND, 13)])
def test_mixed_iteration_is_split_by_shapley_between_the_phases(machine, kept):
    flat = machine._replace(intensity=((0.0, 100.0, JOULES_PER_KWH),))
    carbon = served([(0.0, 3, 3), (0.5, 5, 1)], flat)
    # Iterations p0:3, d0 p1:3, d0 p1:2. A batch of T costs `kept` + T, and so the
    # fixed part of the two mixed ones is shared in halves.
    assert carbon.prefill == pytest.approx(
        2 * ((kept + 3) + (kept / 2 + 3) + (kept / 2 + 2))
    )
    assert carbon.decode == pytest.approx(2 * 2 * (kept / 2 + 1))


def test_unknown_intensity_is_an_error():
    with pytest.raises(ValueError, match="does not cover"):
        intensity_integral(MACHINE, -0.5, 1.0)
    with pytest.raises(ValueError, match="does not cover"):
        served([(99.5, 3, 2)], MACHINE)


def _power(result, machine, times):
    """W at each time, from the two definitions of what runs when."""
    busy = np.zeros_like(times)
    running = np.zeros_like(times, dtype=bool)
    for it in result.iterations:
        inside = (times >= it.start_s) & (times < it.end_s)
        busy[inside], running[inside] = it.energy_j / it.latency_s, True
    if machine.provisioning == "on_demand":
        return np.where(running, busy + machine.host_power_w, 0.0)
    return np.where(running, busy, machine.idle_power_w) + machine.host_power_w


@pytest.mark.parametrize("provisioning", ["always_on", "on_demand"])
def test_total_is_the_integral_of_power_times_intensity(provisioning):
    rng = np.random.default_rng(5)
    for case in cases(seed=5, count=12, max_requests=4, max_answer=20):
        result = case.simulate()
        if not result.iterations:
            continue
        machine = random_machine(rng, provisioning, result.begin_s, result.end_s)
        edges = {t for it in result.iterations for t in (it.start_s, it.end_s)}
        edges |= {t for piece in machine.intensity for t in piece[:2]}
        inside = [t for t in edges if result.begin_s <= t <= result.end_s]
        edge = np.array(sorted(inside))
        middle, width = (edge[1:] + edge[:-1]) / 2, np.diff(edge)
        intensity = [next(g for a, b, g in machine.intensity if a <= t < b) for t in middle]
        grams = np.sum(_power(result, machine, middle) * width * intensity)
        grams *= machine.pue / JOULES_PER_KWH
        carbon = served_carbon(result, machine, case.cost_fn)
        assert carbon.total - carbon.embodied == pytest.approx(grams, rel=1e-9)
