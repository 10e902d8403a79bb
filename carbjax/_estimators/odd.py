"""Regression on all odd orders of interaction."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from carbjax._errors import InputError
from carbjax._estimators.odd_fit import Learnt, doubt_unit
from carbjax._estimators.odd_kernel import OddKernel, Rows, Signs
from carbjax._estimators.odd_likelihood import Factor
from carbjax._estimators.pairs import allot, draw_pairs, sizes_of
from carbjax._estimators.remainder import TOTAL, Draws, Remainder, Values
from carbjax._estimators.spread import steady_variance
from carbjax._estimators.wanted import errors_are_wanted

MOST_PAIRS = 5000  # the regression holds the square of this and takes its cube


def odd(remainder: Remainder, budget: int, rng: np.random.Generator) -> Draws:
    """The expected Shapley value, given the values at pairs of complements.

    The Shapley value depends on `(v(S) - v(all but S)) / 2` alone (Fumagalli, Butler,
    Kang, Ramchandran and Witter 2026, "OddSHAP"). That odd function is taken for a
    random one whose interactions of order 1, 3, 5, ... are ever less likely
    (odd_kernel.py), with a strength of each player learnt from the values (odd_fit.py).
    Nothing is selected and nobody left out; where all is known the values are met
    exactly. Consistent; with few pairs drawn towards small interactions, so not unbiased.
    The standard error is what remains unknown of the random function.

    Sizes are drawn equally often, as by leverage scores (Musco and Witter 2025). Cost
    beyond v: the cube of the number of pairs.
    """
    if budget > 2 * MOST_PAIRS + 2:
        raise InputError(
            f"`budget` is {budget}; estimator 'odd' takes at most {2 * MOST_PAIRS + 2}.",
            hint="Use estimator='adjusted'.",
        )
    values, rows = _sample(remainder, budget, rng)
    fit = OddFit.of(rows, values, remainder.log_weight, remainder.doubts_shapley)
    shares = fit.shapley()
    if not errors_are_wanted():
        return Draws(shares, np.full_like(shares, np.nan))
    variance = fit.shapley_variance()
    return Draws(shares, np.sqrt(steady_variance(variance, len(values))))


class OddFit(NamedTuple):
    """The expected odd function, given its values at some rows."""

    learnt: Learnt
    rows: Rows  # doubts over `unit`
    values: Values
    factor: Factor
    coefficients: Values
    unit: float
    of_doubts: Float[np.ndarray, "players doubts"]  # their Shapley values, over `unit`

    @staticmethod
    def of(
        rows: Rows,
        values: Values,
        log_weight: Float[np.ndarray, " players"],
        of_doubts: Float[np.ndarray, "players doubts"],
    ) -> "OddFit":
        unit = doubt_unit(values[:, TOTAL], log_weight)
        rows = rows.over(unit)
        learnt = Learnt.of(rows, values[:, TOTAL], log_weight)
        factor = Factor.of(learnt.kernel.covariance(rows, rows))
        coefficients = factor.solve(values)
        return OddFit(learnt, rows, values, factor, coefficients, unit, of_doubts / unit)

    @property
    def kernel(self) -> OddKernel:
        return self.learnt.kernel

    def odd(self, rows: Rows) -> Values:
        """Its values at other coalitions."""
        return self.kernel.covariance(rows.over(self.unit), self.rows) @ self.coefficients

    def shapley(self) -> Values:
        """Its Shapley value, `"players 6"`."""
        return self.kernel.shapley(self.rows, self.of_doubts) @ self.coefficients

    def shapley_variance(self) -> Values:
        """What the values leave unknown of the Shapley value, `"players 6"`.

        Of the random function, times how far it is misjudged.
        """
        known = self.kernel.shapley(self.rows, self.of_doubts)
        solved = self.factor.solve(known.T)
        before = self.kernel.shapley_variance(self.of_doubts)
        left = before - (known.T * solved).sum(axis=0)
        scale = (self.values * self.coefficients).sum(axis=0) / len(self.values)
        # Each player's strength is learnt from the same pairs, as if it took one of them.
        wrong = self.learnt.misjudgement() * (1 + len(left) / len(self.values))
        return wrong * np.maximum(left, 0.0)[:, None] * np.maximum(scale, 0.0)[None, :]


def signs(coalitions: Bool[np.ndarray, "coalitions players"]) -> Signs:
    """1 for members, -1 for others."""
    return np.where(coalitions, 1.0, -1.0)


def _sample(
    remainder: Remainder, budget: int, rng: np.random.Generator
) -> tuple[Values, Rows]:
    """Everybody, and pairs in random order."""
    num_players = remainder.num_players
    coalitions = draw_pairs(num_players, _counts(remainder, budget), rng).coalitions
    shuffled = coalitions[rng.permutation(len(coalitions))]
    everybody = np.ones((1, num_players), bool)
    return remainder.odd_with_rows(np.concatenate([everybody, shuffled]))


def _counts(remainder: Remainder, budget: int) -> Int[np.ndarray, " sizes"]:
    """Pairs of each size; of singles one half may be known already."""
    num_players = remainder.num_players
    wanted = np.ones(len(sizes_of(num_players)))
    total = (budget - 2) // 2
    counts = allot(num_players, total, wanted)
    while remainder.knows_singles:
        total += 1
        more = allot(num_players, total, wanted)
        if more.sum() < total or 2 * more.sum() - more[0] > budget - 2:
            return counts
        counts = more
    return counts
