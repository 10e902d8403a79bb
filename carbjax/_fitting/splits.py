"""Which measured rows a fit may see, and which judge it.

A `Split` is named, and reproducible: what is called by one name in a report, a test or a
benchmark is the same rows everywhere. Shuffled folds ask for a value between close
neighbours, `interpolation` for one between sizes, `extrapolation` for sizes beyond those
seen, `unseen_shapes` and `held_out_lines` for models and batches never profiled.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Rows = Bool[np.ndarray, " rows"]
Values = Float[np.ndarray, " rows"]

EXTRAPOLATION_PERCENTILE = 70.0


class Split(NamedTuple):
    """A name, and for each fold the rows that a fit sees (`train`) and is judged by."""

    name: str
    folds: tuple[tuple[Rows, Rows], ...]

    @property
    def is_empty(self) -> bool:
        """Whether some fold has nothing to learn from, or nothing to judge by."""
        return not all(train.any() and test.any() for train, test in self.folds)

    @property
    def held_out(self) -> Rows:
        """The rows that judge, all folds together."""
        return np.any([test for _, test in self.folds], axis=0)


def shuffled(num_rows: int, *, seed: int = 0, num_folds: int = 5) -> Split:
    """Every row is judged once, by a fit to the folds that it is not in ("cv5")."""
    fold = np.random.default_rng(seed).permutation(num_rows) % num_folds
    return Split(f"cv{num_folds}", tuple((fold != i, fold == i) for i in range(num_folds)))


def interpolation(size: Values, *, offset: int = 1) -> Split:
    """Every other distinct value of the size axis is held out, the two ends never."""
    rank = _rank(size)
    inside = (rank > 0) & (rank < rank.max(initial=0))
    return Split("interpolation", (_apart(inside & (rank % 2 == offset)),))


def extrapolation(size: Values) -> Split:
    """Seen is what lies below the 70th percentile of the size axis, judged the rest."""
    edge = np.percentile(size, EXTRAPOLATION_PERCENTILE)
    return Split("extrapolation", (_apart(size >= edge),))


def unseen_shapes(n: Values, k: Values, *, offset: int = 2) -> Split:
    """One in five of the (n, k) shapes of matrix products is held out, with all rows."""
    _, shape = np.unique(np.stack([n, k]), axis=1, return_inverse=True)
    return Split("unseen shapes", (_apart(shape.reshape(-1) % 5 == offset),))


def held_out_lines(values: Values, *, every: int = 3, offset: int = 1) -> Split:
    """One in `every` distinct values of a grid axis is held out: lines, not points."""
    return Split("held-out lines", (_apart(_rank(values) % every == offset),))


def _rank(values: Values) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _apart(held_out: Rows) -> tuple[Rows, Rows]:
    return ~held_out, held_out
