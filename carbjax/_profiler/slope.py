"""Power from the readings of an energy counter that ticks slowly."""

import dataclasses as dc
import math

import numpy as np
from jaxtyping import Float

_FEWEST_TICKS = 5


@dc.dataclass(frozen=True)
class Slope:
    """Power in W, its standard error in W, and the ticks that it rests on.

    NaN where there are too few ticks to tell.
    """

    power_w: float
    stderr_w: float
    num_ticks: int

    @property
    def relative_error(self) -> float:
        return self.stderr_w / self.power_w if self.power_w > 0 else math.nan


def power_from_counter(
    time_s: Float[np.ndarray, " readings"], energy_j: Float[np.ndarray, " readings"]
) -> Slope:
    """The least-squares slope of energy against the counter's own ticks.

    Readings come every 10 to 20 ms, the counter moves every 20 to 100 ms: only readings
    at which it had moved count, each at its own time, so that the edges of the window
    add nothing. The first reading is no tick: the counter stood there for an unknown
    time.
    """
    ticks = 1 + np.flatnonzero(np.diff(energy_j) > 0)
    if len(ticks) < _FEWEST_TICKS:
        return Slope(math.nan, math.nan, len(ticks))
    at, energy = time_s[ticks], energy_j[ticks]
    at, energy = at - at.mean(), energy - energy.mean()
    spread = np.sum(at**2)
    power = np.sum(at * energy) / spread
    left = energy - power * at
    variance = np.sum(left**2) / (len(ticks) - 2)
    return Slope(float(power), float(np.sqrt(variance / spread)), len(ticks))
