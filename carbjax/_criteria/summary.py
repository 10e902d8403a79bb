"""Shapley distances over many workloads."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from carbjax._criteria.bootstrap import Interval, bootstrap
from carbjax._criteria.fairness import ShapleyDistance

_QUANTITIES = (
    "absolute_g",
    "relative",
    "max_g",
    "max_relative",
    "kendall_tau",
    "top_overlap",
    "noise",
)


@dataclasses.dataclass(frozen=True)
class Spread:
    """One number over many workloads, with bootstrap intervals of median and mean."""

    median: float
    median_interval: Interval
    mean: float
    mean_interval: Interval
    ninth_decile: float
    lowest: float
    highest: float
    num_values: int


def spread_of(
    values: Sequence[float] | np.ndarray,
    *,
    seed: int = 0,
    level: float = 0.95,
    kind: str = "bca",
    num_resamples: int = 2000,
) -> Spread:
    """The spread of the numbers among `values`; NaN are left out and not counted."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        nothing = Interval(np.nan, np.nan, level)
        return Spread(np.nan, nothing, np.nan, nothing, np.nan, np.nan, np.nan, 0)
    median, mean = (
        bootstrap(known, f, seed=seed, level=level, kind=kind, num_resamples=num_resamples)
        for f in (np.median, np.mean)
    )
    return Spread(
        float(np.median(known)),
        median,
        float(known.mean()),
        mean,
        float(np.quantile(known, 0.9)),
        float(known.min()),
        float(known.max()),
        len(known),
    )


def summarise_distances(
    distances: Sequence[ShapleyDistance], **settings
) -> dict[str, Spread]:
    """Each aggregate of a `ShapleyDistance` over workloads, by its name.

    `absolute_g`, `relative`, `max_g`, `max_relative`, `kendall_tau`, `top_overlap` and
    `noise`. `settings` are those of `spread_of`.
    """
    return {
        name: spread_of([getattr(d, name) for d in distances], **settings)
        for name in _QUANTITIES
    }
