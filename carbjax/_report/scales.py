"""Where a value stands on an axis, and where the axis is labelled."""

import dataclasses
import math
from collections.abc import Iterable

from carbjax._report.wording import percent, plain

_MOST_STEPS = 4  # between labels: six do not fit on a phone


@dataclasses.dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`; values beyond its ends stand at the ends."""

    low: float
    high: float
    is_log: bool
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The place of `value`, 0 to 1."""
        if self.is_log and value <= self.low:
            return 0.0
        low, high, here = (
            (math.log(x) for x in (self.low, self.high, value))
            if self.is_log
            else (self.low, self.high, value)
        )
        return min(max((here - low) / (high - low), 0.0), 1.0)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def labels(self, as_percent: bool = False) -> list[tuple[float, str]]:
        """Place and text of each tick."""
        say = percent if as_percent else plain
        return [(self.at(tick), say(tick)) for tick in self.ticks]


def log_scale(values: Iterable[float], floor: float = 0.0) -> Scale | None:
    """Whole decades around the positive values, not below `floor`; None without any."""
    positive = [v for v in values if v > 0 and math.isfinite(v)]
    if not positive:
        return None
    low = math.floor(math.log10(max(min(positive), floor)))
    high = max(math.ceil(math.log10(max(*positive, floor))), low + 1)
    step = -(-(high - low) // _MOST_STEPS)
    ticks = tuple(10.0**power for power in range(low, high + 1, step))
    return Scale(10.0**low, 10.0**high, True, ticks)


def linear_scale(values: Iterable[float], least: float, most: float) -> Scale:
    """Around the values and 0, in round steps, not beyond `least` and `most`."""
    known = [0.0, *(v for v in values if math.isfinite(v))]
    low, high = max(min(known), least), min(max(known), most)
    span = max(high - low, 1e-9)
    magnitude = 10.0 ** math.floor(math.log10(span / 4))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= span / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = tuple(round(i * step, 12) for i in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], False, ticks)
