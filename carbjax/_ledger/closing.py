"""Sums that must close: what was charged against what was emitted."""

import math
from collections.abc import Mapping

from carbjax._errors import CarbjaxError

TOLERANCE = 1e-9  # relative


class ClosureError(CarbjaxError):
    """What requests are charged does not add up to what the machines emitted."""


class RunningSum:
    """A sum that loses nothing to its own length (Neumaier 1974)."""

    def __init__(self, total: float = 0.0, lost: float = 0.0):
        self.total, self.lost = total, lost

    def add(self, value: float) -> None:
        new = self.total + value
        larger, smaller = sorted((self.total, value), key=abs, reverse=True)
        self.lost += (larger - new) + smaller
        self.total = new

    @property
    def value(self) -> float:
        return self.total + self.lost


def require_closed(
    charged: Mapping[str, float],
    emitted: Mapping[str, float],
    where: str,
    carried: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """`charged - emitted` by name. Raises `ClosureError` beyond 1e-9 of it.

    `carried` was charged before to requests that are not finished: a difference of two
    such sums rounds as they do, and may be far smaller.
    """
    residual = {name: charged[name] - emitted[name] for name in emitted}
    for name, value in residual.items():
        before = 0.0 if carried is None else carried[name]
        size = max(abs(emitted[name]), abs(charged[name]), abs(before))
        if not math.isfinite(value) or abs(value) > TOLERANCE * size:
            raise ClosureError(
                f"{where}: {name} of requests add up to {charged[name]!r}, and "
                f"{emitted[name]!r} was emitted. This is a mistake in carbjax, or a cost "
                "that is not finite; the ledger is not finished."
            )
    return residual
