"""Fits corrected by the coalitions that they have not seen: unbiased."""

from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float

from carbjax._estimators.enumeration import player_weights
from carbjax._estimators.odd import MOST_PAIRS, OddFit
from carbjax._estimators.odd_kernel import Rows
from carbjax._estimators.pairs import Pairs, allot, draw_pairs, num_pairs, sizes_of
from carbjax._estimators.remainder import Draws, Remainder, Values
from carbjax._estimators.spread import steady_variance

_MOST_FOLDS = 5


class Fit(Protocol):
    """An odd game near the remainder, with a known Shapley value."""

    def odd(self, rows: Rows) -> Values: ...

    def shapley(self) -> Values: ...


def stratified(remainder: Remainder, budget: int, rng: np.random.Generator) -> Draws:
    """Means by size, of pairs with and without each player: every value serves everybody.

    After SVARM (Kolpaczki, Bengs, Muschalik and Huellermeier 2024), with the mean of a
    size taken from other folds instead of a warm-up in which each player must occur in
    each size. Unbiased.
    """
    return _cross_fit(remainder, budget, rng, _fit_sizes)


def adjusted(remainder: Remainder, budget: int, rng: np.random.Generator) -> Draws:
    """The odd regression, and the error that it makes on pairs that it has not seen.

    Regression-adjusted Monte Carlo (Witter, Liu and Musco 2025) around `odd`. Unbiased.
    """
    return _cross_fit(remainder, budget, rng, _fit_odd)


class _SizeMeans:
    """The odd game that depends on how many take part alone."""

    def __init__(self, pairs: Pairs, values: Values, remainder: Remainder):
        self._num_players, self._worth = remainder.num_players, remainder.worth
        self._mean = np.zeros((self._num_players // 2 + 1, values.shape[1]))
        for size in np.unique(pairs.size):
            if 2 * size < self._num_players:
                self._mean[size] = values[pairs.size == size].mean(axis=0)

    def odd(self, rows: Rows) -> Values:
        return self._mean[(rows.signs > 0).sum(axis=1)]

    def shapley(self) -> Values:
        return np.tile(self._worth / self._num_players, (self._num_players, 1))


def _fit_sizes(pairs: Pairs, values: Values, rows: Rows, remainder: Remainder) -> Fit:
    return _SizeMeans(pairs, values, remainder)


def _fit_odd(pairs: Pairs, values: Values, rows: Rows, remainder: Remainder) -> Fit:
    # Those drawn first: a sample of all sizes where there are too many.
    used = np.argsort(pairs.rank, kind="stable")[: MOST_PAIRS - 1]
    everybody = remainder.odd_with_rows(np.ones((1, remainder.num_players), bool))
    known = np.concatenate([everybody[0], values[used]])
    both = Rows(*map(np.concatenate, zip(everybody[1], rows.take(used), strict=True)))
    return OddFit.of(both, known, remainder.log_weight, remainder.doubts_shapley)


def _cross_fit(remainder: Remainder, budget: int, rng: np.random.Generator, fit) -> Draws:
    """The mean over folds: fit on the others, add the error on this one.

    Of the pairs of a size, those outside of the fold are known. The fold's pairs are a
    random sample of all the rest, so their mean error stands for that of the rest.
    """
    num_players = remainder.num_players
    sizes = np.array(sizes_of(num_players))
    counts = allot(num_players, (budget - 2) // 2, np.ones(len(sizes)))
    pairs = draw_pairs(num_players, counts, rng)
    values, rows = remainder.odd_with_rows(pairs.coalitions)
    all_pairs = np.array([float(num_pairs(num_players, int(s))) for s in sizes])
    folds = int(
        np.clip(counts[counts < all_pairs].min(initial=_MOST_FOLDS), 2, _MOST_FOLDS)
    )
    shares, variances = [], []
    for fold in range(folds):
        held = pairs.rank % folds == fold
        rest = Pairs(*(column[~held] for column in pairs))
        model = fit(rest, values[~held], rows.take(~held), remainder)
        error = values - model.odd(rows)
        mean, variance = _mean_error(pairs, held, error, all_pairs)
        shares.append(model.shapley() + mean)
        variances.append(variance)
    # Folds share their fits' pairs, so their errors are not quite independent.
    spread = np.sum(variances, axis=0) / (folds * (folds - 1))
    return Draws(np.mean(shares, axis=0), np.sqrt(spread))


def _mean_error(
    pairs: Pairs,
    held: Bool[np.ndarray, " pairs"],
    error: Values,
    all_pairs: Float[np.ndarray, " sizes"],
) -> tuple[Values, Values]:
    """Shapley value of the error, from pairs with each player and without; its variance."""
    num_players = pairs.coalitions.shape[1]
    total, variance = np.zeros((2, num_players, error.shape[1]))
    for size, number in enumerate(all_pairs, start=1):
        of_size = pairs.size == size
        halves = 1.0 if 2 * size == num_players else 2.0
        weights = halves * player_weights(pairs.coalitions[of_size])
        terms = weights[:, :, None] * error[of_size][:, None, :]
        mean, spread = _stratum(terms, held[of_size], number)
        total += mean
        variance += spread
    freedom = max(int(held.sum()) - len(all_pairs), 1)
    return total, steady_variance(variance, freedom)


def _stratum(
    terms: Float[np.ndarray, "pairs players columns"],
    held: Bool[np.ndarray, " pairs"],
    number: float,
) -> tuple[Values, Values]:
    """Mean of the terms over all pairs of a size, and its variance."""
    fold, known = terms[held], terms[~held]
    unknown = number - len(known)
    if unknown == 0:
        return known.sum(axis=0) / number, np.zeros(terms.shape[1:])
    mean = (known.sum(axis=0) + unknown * fold.mean(axis=0)) / number
    # Of a single pair the mean square stands for the variance: never less on average.
    own = fold.var(axis=0, ddof=1) if len(fold) > 1 else fold[0] ** 2
    left = max(1 - len(fold) / unknown, 0.0)
    return mean, own * left / len(fold) * (unknown / number) ** 2
