"""Units of time that profiles come in."""

import dataclasses as dc
import math

from carbjax._units import (
    SECONDS_PER_MICROSECOND,
    SECONDS_PER_MILLISECOND,
)

_SECONDS_PER_NANOSECOND = 1e-9


@dc.dataclass(frozen=True)
class TimeUnit:
    """A unit of time by its symbol, and the seconds in it."""

    name: str
    seconds: float


SECOND = TimeUnit("s", 1.0)
MILLISECOND = TimeUnit("ms", SECONDS_PER_MILLISECOND)
MICROSECOND = TimeUnit("µs", SECONDS_PER_MICROSECOND)
NANOSECOND = TimeUnit("ns", _SECONDS_PER_NANOSECOND)
LADDER = (SECOND, MILLISECOND, MICROSECOND, NANOSECOND)


def suspected(unit: TimeUnit, times_too_long: float) -> str | None:
    """Name of the unit that would bring a time back to size, None where none would."""
    steps = round(math.log(times_too_long, 1000.0))
    place = LADDER.index(unit) + steps
    return LADDER[place].name if steps and 0 <= place < len(LADDER) else None
