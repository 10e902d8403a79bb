"""Leakage grows with temperature: power at the temperature that most points had."""

import dataclasses as dc
import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from carbjax._profiler.measure import Measurement

AT_LIMIT = 0.97
"""Share of the power limit from which on temperature changes clocks, not power."""
_LEAST_SPREAD_K = 3.0


@dc.dataclass(frozen=True)
class Correction:
    """W a K, and the temperature in degrees Celsius that powers are carried to."""

    watts_per_kelvin: float
    reference_c: float
    is_identified: bool  # False: temperatures were too much alike, and nothing is changed


def correction(measured: Sequence[Measurement], power_limit_w: float) -> Correction:
    """From loads that were measured more than once, at different temperatures.

    Each load has its own power; the slope is common. Where repeats lie within 3 K of
    each other it cannot be told, and is 0; a slope below 0 is none of leakage, and is
    taken as 0 too.
    """
    usable = [m for m in measured if math.isfinite(m.slope.power_w + m.temperature_c)]
    if not usable:
        return Correction(0.0, math.nan, False)
    reference = float(np.median([m.temperature_c for m in usable]))
    kelvins, watts = _within_loads(usable, power_limit_w)
    if not kelvins or np.ptp(kelvins) < _LEAST_SPREAD_K:
        return Correction(0.0, reference, False)
    slope = float(np.dot(kelvins, watts) / np.dot(kelvins, kelvins))
    return Correction(max(slope, 0.0), reference, slope > 0)


def corrected_power(measured: Measurement, to: Correction, power_limit_w: float) -> float:
    """W at the reference temperature; as it was where the limit set it."""
    power = measured.slope.power_w
    if not to.is_identified or power > AT_LIMIT * power_limit_w:
        return power
    return power + to.watts_per_kelvin * (to.reference_c - measured.temperature_c)


def _within_loads(
    measured: Sequence[Measurement], power_limit_w: float
) -> tuple[list[float], list[float]]:
    """Distances of temperature and power from the mean of the same load."""
    loads = defaultdict(list)
    for m in measured:
        if m.slope.power_w <= AT_LIMIT * power_limit_w and m.point.kind != "idle":
            loads[m.point.label].append((m.temperature_c, m.slope.power_w))
    kelvins, watts = [], []
    for same in loads.values():
        mean_c, mean_w = np.mean(same, axis=0)
        kelvins += [c - mean_c for c, _ in same]
        watts += [w - mean_w for _, w in same]
    return kelvins, watts
