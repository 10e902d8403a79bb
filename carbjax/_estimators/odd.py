"""Regression on all odd orders of interaction."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import linalg

from carbjax._errors import InputError
from carbjax._estimators.odd_fit import factor, likeliest_kernel, misjudgement
from carbjax._estimators.odd_kernel import OddKernel, Signs
from carbjax._estimators.pairs import allot, draw_pairs, sizes_of
from carbjax._estimators.remainder import TOTAL, Draws, Remainder, Values
from carbjax._estimators.spread import steady_variance

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
    rows, values = _sample(remainder, budget, rng)
    fit = OddFit.of(rows, values, remainder.log_weight)
    wrong = misjudgement(rows, values[:, TOTAL], remainder.log_weight)
    # Each player's strength is learnt from the same pairs, as if it took one of them.
    wrong *= 1 + remainder.num_players / len(rows)
    variance = wrong * fit.shapley_variance()
    return Draws(fit.shapley(), np.sqrt(steady_variance(variance, len(rows))))


class OddFit(NamedTuple):
    """The expected odd function, given its values at some rows."""

    kernel: OddKernel
    rows: Signs
    values: Values
    lower: tuple[Float[np.ndarray, "rows rows"], bool]
    coefficients: Values

    @staticmethod
    def of(
        rows: Signs, values: Values, log_weight: Float[np.ndarray, " players"]
    ) -> "OddFit":
        kernel = likeliest_kernel(rows, values[:, TOTAL], log_weight)
        lower = factor(kernel, rows)
        return OddFit(kernel, rows, values, lower, linalg.cho_solve(lower, values))

    def odd(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Values:
        """Its values at other coalitions."""
        return self.kernel.covariance(signs(coalitions), self.rows) @ self.coefficients

    def shapley(self) -> Values:
        """Its Shapley value, `"players 6"`."""
        return self.kernel.shapley(self.rows) @ self.coefficients

    def shapley_variance(self) -> Values:
        """What the values leave unknown of the random function's Shapley value."""
        known = self.kernel.shapley(self.rows)
        solved = linalg.cho_solve(self.lower, known.T)
        left = self.kernel.shapley_variance() - (known.T * solved).sum(axis=0)
        scale = (self.values * self.coefficients).sum(axis=0) / len(self.rows)
        return np.maximum(left, 0.0)[:, None] * np.maximum(scale, 0.0)[None, :]


def signs(coalitions: Bool[np.ndarray, "coalitions players"]) -> Signs:
    """1 for members, -1 for others."""
    return np.where(coalitions, 1.0, -1.0)


def _sample(
    remainder: Remainder, budget: int, rng: np.random.Generator
) -> tuple[Signs, Values]:
    """Everybody, and pairs in random order."""
    num_players = remainder.num_players
    wanted = np.ones(len(sizes_of(num_players)))
    counts = allot(num_players, (budget - 2) // 2, wanted)
    coalitions = draw_pairs(num_players, counts, rng).coalitions
    shuffled = coalitions[rng.permutation(len(coalitions))]
    values = np.concatenate([remainder.worth[None] / 2, remainder.odd(shuffled)])
    return signs(np.concatenate([np.ones((1, num_players), bool), shuffled])), values
