"""Distributions as strips: a dot a workload, the median and its interval."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from carbjax._report.record import Number
from carbjax._report.scales import Scale

_LEFT, _WIDTH = 2.0, 96.0  # percent of the strip: dots at the ends stay whole


@dataclasses.dataclass(frozen=True)
class Strip:
    """Places in percent of the strip's width; `spoken` tells it without a picture."""

    dots: tuple[float, ...]
    middle: float | None
    ends: tuple[float, float] | None
    spoken: str


def strip_of(
    number: Number | None, values: Sequence[float], scale: Scale, spoken: str
) -> Strip:
    """The strip of one method."""
    known = number is not None and number.is_known and math.isfinite(number.value)
    ends = None
    if number is not None and number.has_interval:
        ends = (place(scale, number.lower), place(scale, number.upper))
    return Strip(
        tuple(place(scale, v) for v in values),
        place(scale, number.value) if known and number is not None else None,
        ends,
        spoken,
    )


def place(scale: Scale, value: float) -> float:
    """Percent of the strip's width."""
    return round(_LEFT + _WIDTH * scale.at(value), 2)


def axis_of(scale: Scale, as_percent: bool) -> list[tuple[float, str]]:
    """Place in percent and text of each tick."""
    return [(round(_LEFT + _WIDTH * at, 2), text) for at, text in scale.labels(as_percent)]


def all_values(
    numbers: Mapping[str, Number], by_workload: Mapping[str, Sequence[float]]
) -> list[float]:
    """Everything that a strip of these methods would draw."""
    drawn = [v for values in by_workload.values() for v in values]
    for n in numbers.values():
        drawn += [n.value, n.lower, n.upper]
    return drawn
