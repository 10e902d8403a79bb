"""Odd games that are random: their covariance, and that of their Shapley values.

Write a coalition as x in {-1, 1}^n. An odd game is a sum of products of an odd number of
entries, `sum_T c_T prod_{i in T} x_i`, and its Shapley value is
`phi_i = 2 sum_{T with i} c_T / |T|`. With independent c_T of variance `prod_{i in T} r_i`
the covariance of two values is the odd part of `prod_i (1 + r_i x_i y_i)`, which is
`C sinh(sum_i a_i x_i y_i)` with `a_i = artanh r_i` and `C = prod_i sqrt(1 - r_i^2)`: all
odd orders at once, higher ones less likely. A linear part of its own is added, and random
multiples of known games, the doubts.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Signs = Float[np.ndarray, "rows players"]


class Rows(NamedTuple):
    """Coalitions as signs, and the odd part of each doubt there."""

    signs: Signs
    doubts: Float[np.ndarray, "rows doubts"]

    @staticmethod
    def of(signs: Signs) -> "Rows":
        """Without doubts."""
        return Rows(signs, np.zeros((len(signs), 0)))

    def over(self, unit: float) -> "Rows":
        """With the doubts in this unit."""
        return Rows(self.signs, self.doubts / unit)

    def take(self, which) -> "Rows":
        """These rows alone."""
        return Rows(self.signs[which], self.doubts[which])

    @property
    def joined(self) -> Float[np.ndarray, "rows features"]:
        """Signs and doubts side by side."""
        return np.concatenate(self, axis=1)


_NUM_NODES = 24
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_NUM_NODES)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
# Of even functions over [0, 1]: half of a rule over [-1, 1], exact to twice the degree.
_EVEN_NODES, _EVEN_WEIGHTS = (
    half[_NUM_NODES:] for half in np.polynomial.legendre.leggauss(2 * _NUM_NODES)
)


class OddKernel(NamedTuple):
    """Covariance `C sinh(x diag(coupling) y) + x diag(linear) y + f diag(doubt) g`.

    Of values of odd games at the signs x and y, where the doubts are f and g.
    """

    coupling: Float[np.ndarray, " players"]
    linear: Float[np.ndarray, " players"]
    doubt: Float[np.ndarray, " doubts"]

    def covariance(self, left: Rows, right: Rows) -> Float[np.ndarray, "left right"]:
        products, _ = self.products_and_slope(left.signs, right.signs)
        products += (left.joined * self.own) @ right.joined.T
        return products

    @property
    def own(self) -> Float[np.ndarray, " features"]:
        """The variances of what stands side by side in `Rows.joined`."""
        return np.concatenate([self.linear, self.doubt])

    def products_and_slope(
        self, left: Signs, right: Signs
    ) -> tuple[Float[np.ndarray, "left right"], Float[np.ndarray, "left right"]]:
        """The first term, and its derivative by the exponent."""
        # In place, for the sake of large samples, and scaled before it could overflow.
        rising = (left * self.coupling) @ right.T
        falling = self._log_half_scale - rising
        rising += self._log_half_scale
        np.exp(rising, out=rising)
        np.exp(falling, out=falling)
        slope = rising + falling
        rising -= falling
        return rising, slope

    def variance(self, rows: Rows) -> Float[np.ndarray, " rows"]:
        """Of the values at `rows`."""
        total = self.coupling.sum()
        ends = np.exp(self._log_half_scale + np.array([total, -total]))
        return ends[0] - ends[1] + self.linear.sum() + rows.doubts**2 @ self.doubt

    def shapley(
        self, rows: Rows, of_doubts: Float[np.ndarray, "players doubts"]
    ) -> Float[np.ndarray, "players rows"]:
        """Covariance of each player's Shapley value with the values at `rows`.

        1 / |T| is the integral of t^(|T| - 1), so the sum over T is
        `r_i x_i` times that of `P_i(t) + P_i(-t)`, with `P_i(t)` the product of
        `1 + t r_j x_j` over the others. As x_j is 1 or -1, `log(1 + t r_j x_j)` is
        `log(1 - t^2 r_j^2) / 2 + x_j artanh(t r_j)`: all players' together are a
        matrix product, of which player i's is taken out again.
        `of_doubts` are the doubts' Shapley values.
        """
        ratio, x = np.tanh(self.coupling), rows.signs
        at_node = _EVEN_NODES[:, None] * ratio
        squares = np.log1p(-(at_node**2))
        exponent = x @ np.arctanh(at_node).T
        rising = np.exp(squares.sum(axis=1) / 2 + exponent)
        falling = np.exp(squares.sum(axis=1) / 2 - exponent)
        without = _EVEN_WEIGHTS[:, None] * np.exp(-squares)
        same = (rising + falling) @ without
        opposed = (rising - falling) @ (without * at_node)
        own = (ratio * (x * same - opposed) + 2 * self.linear * x).T
        return own + (of_doubts * self.doubt) @ rows.doubts.T

    def shapley_variance(
        self, of_doubts: Float[np.ndarray, "players doubts"]
    ) -> Float[np.ndarray, " players"]:
        """Variance of each player's Shapley value before anything is known.

        `4 sum_{T with i} prod r / |T|^2`, with 1 / m^2 the integral of
        -log(w) w^(m - 1), and w = u^2 to tame the logarithm.
        """
        ratio = np.tanh(self.coupling)
        at_node = (_NODES**2)[:, None] * ratio
        even = np.zeros(at_node.shape)
        for part in (np.log1p(at_node), np.log1p(-at_node)):
            even += np.exp(part.sum(axis=1, keepdims=True) - part) / 2
        found = (-4 * _WEIGHTS * _NODES * np.log(_NODES)) @ even
        return 4 * ratio * found + 4 * self.linear + of_doubts**2 @ self.doubt

    @property
    def _log_half_scale(self) -> float:
        """log(C / 2)."""
        squares = np.tanh(self.coupling) ** 2
        return float(0.5 * np.log1p(-squares).sum() - np.log(2))
