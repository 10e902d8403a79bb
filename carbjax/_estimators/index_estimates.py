"""Banzhaf values and interactions from few coalitions, with standard errors."""

import dataclasses

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._errors import InputError
from carbjax._estimators.columns import total_of
from carbjax._estimators.index_targets import (
    Target,
    banzhaf_target,
    pair_target,
    shapley_target,
)
from carbjax._estimators.odd import MOST_PAIRS, signs
from carbjax._estimators.one_thread import in_one_thread
from carbjax._estimators.oracle import Oracle
from carbjax._estimators.pairs import Pairs, allot, draw_pairs, num_pairs, sizes_of
from carbjax._estimators.seeds import seed_of
from carbjax._games.base import AbstractGame

_MOST_FOLDS = 5
_MOST_PLAYERS = 1000  # chances of coalitions of more round to 0


@dataclasses.dataclass(frozen=True)
class IndexEstimate:
    """An estimated index and its standard error, gCO2e, `" players"` or squared.

    A standard error of 0 means exact. `num_evaluations` counts distinct coalitions.
    """

    values: Float[np.ndarray, "*players"]
    stderr: Float[np.ndarray, "*players"]
    num_evaluations: int


def estimate_banzhaf(
    v: AbstractGame, *, budget: int, key: PRNGKeyArray | None = None
) -> IndexEstimate:
    """Banzhaf values (`carbjax.banzhaf`) from at most `budget` values of v.

    Unbiased: a regression on some folds of the sample, corrected by its errors on the
    others, after Witter, Liu and Musco (2025). Raises `InputError` for a budget below
    2 n + 2 or beyond 10,002, and where a value of `v` is not finite.
    """
    sample = _Sample(v, budget, key)
    weight = np.array([float(num_pairs(v.num_players, s)) for s in sample.sizes])
    sample.draw(weight / weight.max(initial=1.0))
    values, variance = sample.estimate(banzhaf_target(v.num_players))
    return IndexEstimate(values, np.sqrt(variance), sample.num_evaluations)


def estimate_interactions(
    v: AbstractGame, *, budget: int, key: PRNGKeyArray | None = None
) -> IndexEstimate:
    """Shapley interactions (`carbjax.shapley_interactions`) from at most `budget` values.

    As `estimate_banzhaf`; Shapley values of single players on the diagonal, from the same
    sample.
    """
    n = v.num_players
    if n < 2:
        raise InputError(
            "the game has one player.", hint="Interactions take at least two players."
        )
    sample = _Sample(v, budget, key)
    sample.draw(np.ones(len(sample.sizes)))
    values, variance = (x.reshape(n, n) for x in sample.estimate(pair_target(n)))
    of_players = sample.estimate(shapley_target(n))
    for square, diagonal in zip((values, variance), of_players, strict=True):
        np.fill_diagonal(square, diagonal)
    return IndexEstimate(values, np.sqrt(variance), sample.num_evaluations)


class _Sample:
    """Pairs of complements of each size, and the game's values at them."""

    def __init__(self, v: AbstractGame, budget: int, key: PRNGKeyArray | None):
        _require(v.num_players, budget)
        self._oracle, self._budget = Oracle(v, budget), budget
        self._rng = np.random.default_rng(seed_of(key))
        self._num_players = v.num_players
        self.sizes = np.array(sizes_of(v.num_players))

    @property
    def num_evaluations(self) -> int:
        return self._oracle.num_evaluations

    def draw(self, wanted: Float[np.ndarray, " sizes"]) -> None:
        """So many pairs of each size as the budget allows, in proportion to `wanted`."""
        n, total = self._num_players, (self._budget - 2) // 2
        some = allot(n, min(total, 2 * len(self.sizes)), np.ones(len(self.sizes)))
        spare, excess = total, 1
        while excess > 0:
            counts = np.maximum(some, allot(n, spare, wanted)).astype(int)
            excess = int(counts.sum()) - total
            spare -= excess
        pairs = draw_pairs(n, counts, self._rng)
        everybody = np.ones((1, n), bool)
        self._pairs = Pairs(
            np.concatenate([everybody, pairs.coalitions]),
            np.r_[0, pairs.size],
            np.r_[0, pairs.rank],
        )
        both = np.concatenate([self._pairs.coalitions, ~self._pairs.coalitions])
        self._with, self._without = np.split(total_of(self._oracle.values(both)), 2)

    def estimate(
        self, target: Target
    ) -> tuple[Float[np.ndarray, " outputs"], Float[np.ndarray, " outputs"]]:
        """The mean over folds of the fit on the others and its error on this one."""
        pairs, sign = self._pairs, -1 if target.is_odd else 1
        part = (self._with + sign * self._without) / 2
        rows, coefficients = signs(pairs.coalitions), target.coefficients(pairs.coalitions)
        folds = self._num_folds()
        found, variances = [], []
        for fold in range(folds):
            held = (pairs.rank % folds == fold) & (pairs.size > 0)
            with in_one_thread(len(rows)):
                fit = target.fit(rows[~held], part[~held])
                terms = coefficients * (part - fit.predict(rows))[:, None]
            error, variance = self._sum_of_all(terms, held)
            found.append(fit.index() + error)
            variances.append(variance)
        # Folds share their fits' pairs, so their errors are not quite independent.
        spread = np.sum(variances, axis=0) / (folds * max(folds - 1, 1))
        return np.mean(found, axis=0), spread

    def _num_folds(self) -> int:
        counts = np.bincount(self._pairs.size, minlength=len(self.sizes) + 1)[1:]
        every = np.array([num_pairs(self._num_players, int(s)) for s in self.sizes])
        least = counts[counts < every].min(initial=_MOST_FOLDS)
        return int(np.clip(least, 2, _MOST_FOLDS))

    def _sum_of_all(
        self, terms: Float[np.ndarray, "pairs outputs"], held: np.ndarray
    ) -> tuple[Float[np.ndarray, " outputs"], Float[np.ndarray, " outputs"]]:
        """Sum over all pairs, those held standing for all that were not drawn."""
        total, variance = terms[0].copy(), np.zeros(terms.shape[1])
        for size in self.sizes:
            of_size = self._pairs.size == size
            known, fold = terms[of_size & ~held], terms[of_size & held]
            unknown = num_pairs(self._num_players, int(size)) - len(known)
            total += known.sum(axis=0)
            if unknown:
                total += unknown * fold.mean(axis=0)
                # Of a single pair the mean square stands for the variance.
                own = fold.var(axis=0, ddof=1) if len(fold) > 1 else fold[0] ** 2
                left = max(1 - len(fold) / unknown, 0.0)
                variance += float(unknown) ** 2 * own * left / len(fold)
        return total, variance


def _require(num_players: int, budget: int) -> None:
    least, most = 2 * num_players + 2, 2 * MOST_PAIRS + 2
    if not least <= budget <= most:
        raise InputError(
            f"`budget` is {budget}; for {num_players} players it is {least} to {most}."
        )
    if num_players > _MOST_PLAYERS:
        raise InputError(
            f"the game has {num_players} players; at most {_MOST_PLAYERS} can be sampled."
        )
