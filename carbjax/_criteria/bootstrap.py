"""How far a statistic of a sample would move with another sample."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from carbjax._errors import InputError

KINDS = ("bca", "percentile")
Statistic = Callable[..., Float[np.ndarray, "*batch"]]
"""Called as `statistic(values, axis=-1)`, such as `numpy.mean` and `numpy.median`."""


class Interval(NamedTuple):
    """Where a number lies with a confidence of `level`, of 0 to 1."""

    low: float
    high: float
    level: float


def bootstrap(
    values: ArrayLike,
    statistic: Statistic = np.mean,
    *,
    seed: int = 0,
    level: float = 0.95,
    kind: str = "bca",
    num_resamples: int = 2000,
) -> Interval:
    """The bootstrap interval of a statistic of `values`, `" samples"`.

    `kind`: "percentile", or "bca", which corrects it for bias and skewness (Efron 1987,
    "Better bootstrap confidence intervals"). NaN at both ends where there are fewer than
    two samples: one says nothing of the next. Raises `InputError` for values that are
    not finite, another kind, or a level that is not within 0 and 1.
    """
    sample = np.asarray(values, np.float64)
    _require(sample, level, kind)
    if len(sample) < 2:
        return Interval(np.nan, np.nan, level)
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(sample), size=(num_resamples, len(sample)))
    found = np.sort(statistic(sample[rows], axis=-1))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if kind == "bca":
        tails = _corrected(tails, sample, statistic, found)
    low, high = np.quantile(found, tails)
    return Interval(float(low), float(high), level)


def _corrected(
    tails: Float[np.ndarray, "2"],
    sample: Float[np.ndarray, " samples"],
    statistic: Statistic,
    found: Float[np.ndarray, " resamples"],
) -> Float[np.ndarray, "2"]:
    """The quantiles to read off, corrected for bias and acceleration.

    As they are where nothing can be said: all resamples to one side, or all equal.
    """
    seen = float(statistic(sample, axis=-1))
    below = (np.mean(found < seen) + np.mean(found <= seen)) / 2
    if not 0 < below < 1:
        return tails
    without = ~np.eye(len(sample), dtype=bool)
    left_out = statistic(
        np.broadcast_to(sample, without.shape)[without].reshape(len(sample), -1), axis=-1
    )
    away = left_out.mean() - left_out
    spread = np.sum(away**2) ** 1.5
    acceleration = np.sum(away**3) / (6 * spread) if spread > 0 else 0.0
    bias = ndtri(below)
    moved = bias + ndtri(tails)
    return ndtr(bias + moved / (1 - acceleration * moved))


def _require(sample: np.ndarray, level: float, kind: str) -> None:
    if sample.ndim != 1 or not np.isfinite(sample).all():
        raise InputError(
            f"`values` has shape {sample.shape}, or entries that are not finite.",
            hint="Give a vector of finite numbers, one a sample.",
        )
    if kind not in KINDS:
        raise InputError(
            f"there is no bootstrap {kind!r}.", hint=f"Choose of {', '.join(KINDS)}."
        )
    if not 0 < level < 1:
        raise InputError(f"`level` is {level}.", hint="Give a part, such as 0.95.")
