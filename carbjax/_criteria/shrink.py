"""From a counter-example to a small one."""

from collections.abc import Callable
from typing import NamedTuple

from carbjax._criteria.small_workloads import Units, smaller


class Gap(NamedTuple):
    """By how much an axiom is broken: gCO2e, and in mean shares."""

    grams: float
    relative: float
    note: str = ""


Measure = Callable[[Units], Gap | None]
"""The gap on these players' requests; None where the axiom says nothing of them."""

_KEPT = 0.1  # of the first gap, so that the small example shows it as well


def shrink(
    units: Units,
    measure: Measure,
    gap: Gap,
    *,
    tolerance: float,
    fewest: int,
    tries: int = 80,
) -> tuple[Units, Gap]:
    """Fewer players and fewer tokens, while the gap stays above tolerance, and its gap.

    Greedy: the first simpler example that still shows it is taken, until none does or
    `tries` were measured.
    """
    least = max(tolerance, _KEPT * gap.relative)
    left = tries
    found = True
    while found:
        found = False
        for candidate in smaller(units, fewest):
            if left == 0:
                return units, gap
            left -= 1
            now = measure(candidate)
            if now is not None and now.relative > least:
                units, gap, found = candidate, now, True
                break
    return units, gap
