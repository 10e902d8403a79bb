"""What cost grows like: powers and exponentials fitted to a few measurements."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from carbjax._criteria.bootstrap import Interval

_ABOVE_FLOOR = 2.0  # times the least cost: below it fixed costs hide the growth
_FEWEST = 3  # points of a fit with an interval
_STEEP = 4.0  # a local exponent that no polynomial method reaches


@dataclasses.dataclass(frozen=True)
class Growth:
    """A power law `cost = a size^exponent` through measurements, in logarithms.

    - `exponent`, `interval`: of least squares through all points; NaN at the ends of the
      interval where there are fewer than three.
    - `tail_exponent`: through the points that cost twice the cheapest or more, which fixed
      costs hide least; NaN where there are not two of them.
    - `is_exponential`: the last two steps of the tail rise by powers above 4, and an
      exponential fits it better than a power. None where the last step alone does: it
      may lead from one algorithm to another.
    """

    exponent: float
    interval: Interval
    tail_exponent: float
    is_exponential: bool | None


def fit_growth(size: ArrayLike, cost: ArrayLike, level: float = 0.95) -> Growth:
    """The growth of `cost` with `size`, `" points"`, both positive; NaN of one point."""
    x, y = np.asarray(size, float), np.log(np.asarray(cost, float))
    if len(x) < 2:
        return Growth(math.nan, Interval(math.nan, math.nan, level), math.nan, False)
    slope, interval = _line(np.log(x), y, level)
    tail = y >= y.min() + math.log(_ABOVE_FLOOR)
    steep = _line(np.log(x[tail]), y[tail], level)[0] if tail.sum() >= 2 else math.nan
    return Growth(slope, interval, steep, _is_exponential(x, y, tail))


def _line(
    x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], level: float
) -> tuple[float, Interval]:
    """The slope, and where it lies if the points scatter normally about the line."""
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    freedom = len(x) - 2
    if len(x) < _FEWEST:
        return slope, Interval(math.nan, math.nan, level)
    rest = y - y.mean() - slope * centred
    error = math.sqrt(rest @ rest / freedom / (centred @ centred))
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    return slope, Interval(slope - reach, slope + reach, level)


def _is_exponential(x: np.ndarray, y: np.ndarray, tail: np.ndarray) -> bool | None:
    """On the tail, with the last point before it."""
    first = int(np.argmax(tail)) if tail.any() else len(x)
    x, y = x[max(first - 1, 0) :], y[max(first - 1, 0) :]
    steep = np.diff(y) / np.diff(np.log(x)) > _STEEP
    if not steep[-1:].any():
        return False
    if len(steep) < 2 or not steep[-2]:
        return None
    return _misfit(x, y) < _misfit(np.log(x), y)


def _misfit(x: np.ndarray, y: np.ndarray) -> float:
    rest = y - np.polyval(np.polyfit(x, y, 1), x)
    return float(rest @ rest)
