"""Temperature, and whether operators add up to a layer."""

import dataclasses as dc

import pytest

from carbjax._profiler.additivity import Seen, check_layers
from carbjax._profiler.estimate import Rates, call_seconds, parts
from carbjax._profiler.measure import Measurement
from carbjax._profiler.plan import make_plan
from carbjax._profiler.slope import Slope
from carbjax._profiler.temperature import corrected_power, correction

from .tiny import CALLS, LAYERS, SHAPE

RATES = Rates("made up", 1e9, 1e10)
LIMIT_W = 700.0


def _measured(label, power, celsius):
    point = dc.replace(CALLS[0], label=label)
    return Measurement(point, 1e-5, Slope(power, 0.1, 20), temperature_c=celsius)


def test_power_is_carried_to_the_median_temperature():
    leak = 0.8
    seen = [
        _measured(label, base + leak * (c - 40), c)
        for label, base, temperatures in (("a", 200, (40, 60)), ("b", 500, (45, 62, 50)))
        for c in temperatures
    ]
    found = correction(seen, LIMIT_W)
    assert found.is_identified and found.watts_per_kelvin == pytest.approx(leak)
    at_reference = [corrected_power(m, found, LIMIT_W) for m in seen]
    assert at_reference[0] == pytest.approx(at_reference[1])


def test_where_temperatures_are_alike_nothing_is_corrected():
    seen = [_measured("a", 300.0, 50.0), _measured("a", 310.0, 51.0)]
    found = correction(seen, LIMIT_W)
    assert not found.is_identified
    assert corrected_power(seen[1], found, LIMIT_W) == 310.0


def test_power_that_the_limit_set_is_left_alone():
    seen = [_measured("a", 200.0, 40.0), _measured("a", 210.0, 60.0)]
    capped = _measured("b", 699.0, 65.0)
    found = correction([*seen, capped], LIMIT_W)
    assert found.is_identified and corrected_power(capped, found, LIMIT_W) == 699.0


def _seen(points, watts, factor=1.0):
    for point in points:
        seconds = factor * call_seconds(point, SHAPE, RATES)
        yield Seen(point, seconds, watts * seconds)


@pytest.mark.parametrize("part_of_the_truth", [1.0, 1.1])
def test_the_check_tells_by_how_much_the_sum_is_off(part_of_the_truth):
    calls = _seen(CALLS, 300.0, factor=part_of_the_truth)
    found = check_layers([*calls, *_seen(LAYERS, 300.0)], SHAPE, RATES)
    assert len(found) == len(LAYERS)
    for check in found:
        assert check.latency_error == pytest.approx(100 * (part_of_the_truth - 1))
        assert check.energy_error == pytest.approx(check.latency_error)


def test_a_layer_with_a_part_that_nobody_measured_is_not_checked():
    calls = [p for p in CALLS if p.kind != "rope"]
    assert check_layers([*_seen(calls, 1.0), *_seen(LAYERS, 1.0)], SHAPE, RATES) == ()


def test_every_part_of_every_layer_of_the_plan_has_a_comparable_point():
    points = make_plan(SHAPE).points
    layers = [p for p in points if p.kind == "layer"]
    found = check_layers(list(_seen(points, 1.0)), SHAPE, RATES)
    assert len(found) == len(layers) == 8
    assert all(abs(check.latency_error) < 1e-9 for check in found)
    assert all(len(parts(layer, SHAPE)) >= 12 for layer in layers)
