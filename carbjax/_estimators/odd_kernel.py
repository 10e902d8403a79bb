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


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2


class OddKernel(NamedTuple):
    """Covariance `C sinh(x diag(coupling) y) + x diag(linear) y + f diag(doubt) g`.

    Of values of odd games at the signs x and y, where the doubts are f and g.
    """

    coupling: Float[np.ndarray, " players"]
    linear: Float[np.ndarray, " players"]
    doubt: Float[np.ndarray, " doubts"]

    def covariance(self, left: Rows, right: Rows) -> Float[np.ndarray, "left right"]:
        linear = (left.signs * self.linear) @ right.signs.T
        doubted = (left.doubts * self.doubt) @ right.doubts.T
        return self.products(left.signs, right.signs) + linear + doubted

    def products(self, left: Signs, right: Signs) -> Float[np.ndarray, "left right"]:
        """The first term."""
        exponent = (left * self.coupling) @ right.T
        scale = self._log_scale
        return (np.exp(exponent + scale) - np.exp(scale - exponent)) / 2

    def variance(self, rows: Rows) -> Float[np.ndarray, " rows"]:
        """Of the values at `rows`."""
        own = np.exp(self._log_scale) * np.sinh(self.coupling.sum()) + self.linear.sum()
        return own + rows.doubts**2 @ self.doubt

    def slope(self, left: Signs, right: Signs) -> Float[np.ndarray, "left right"]:
        """Derivative of `products` by the exponent."""
        exponent = (left * self.coupling) @ right.T
        scale = self._log_scale
        return (np.exp(exponent + scale) + np.exp(scale - exponent)) / 2

    def shapley(
        self, rows: Rows, of_doubts: Float[np.ndarray, "players doubts"]
    ) -> Float[np.ndarray, "players rows"]:
        """Covariance of each player's Shapley value with the values at `rows`.

        1 / |T| is the integral of t^(|T| - 1): the sum over T is an integral of products.
        `of_doubts` are the doubts' Shapley values.
        """
        ratio, x = np.tanh(self.coupling), rows.signs
        found = np.zeros(x.shape)
        for t, weight in zip(_NODES, _WEIGHTS, strict=True):
            entry = t * ratio * x
            for part in (np.log1p(entry), np.log1p(-entry)):
                found += weight * np.exp(part.sum(axis=1, keepdims=True) - part)
        own = (ratio * x * found + 2 * self.linear * x).T
        return own + (of_doubts * self.doubt) @ rows.doubts.T

    def shapley_variance(
        self, of_doubts: Float[np.ndarray, "players doubts"]
    ) -> Float[np.ndarray, " players"]:
        """Variance of each player's Shapley value before anything is known.

        `4 sum_{T with i} prod r / |T|^2`, with 1 / m^2 the integral of
        -log(w) w^(m - 1), and w = u^2 to tame the logarithm.
        """
        ratio = np.tanh(self.coupling)
        found = np.zeros(ratio.shape)
        for u, weight in zip(_NODES, _WEIGHTS, strict=True):
            part_up, part_down = np.log1p(u**2 * ratio), np.log1p(-(u**2) * ratio)
            even = np.exp(part_up.sum() - part_up) + np.exp(part_down.sum() - part_down)
            found += weight * -4 * u * np.log(u) * even / 2
        return 4 * ratio * found + 4 * self.linear + of_doubts**2 @ self.doubt

    @property
    def _log_scale(self) -> float:
        """log C."""
        return float(0.5 * np.log1p(-(np.tanh(self.coupling) ** 2)).sum())
