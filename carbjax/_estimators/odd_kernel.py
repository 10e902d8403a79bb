"""Odd games that are random: their covariance, and that of their Shapley values.

Write a coalition as x in {-1, 1}^n. An odd game is a sum of products of an odd number of
entries, `sum_T c_T prod_{i in T} x_i`, and its Shapley value is
`phi_i = 2 sum_{T with i} c_T / |T|`. With independent c_T of variance `prod_{i in T} r_i`
the covariance of two values is the odd part of `prod_i (1 + r_i x_i y_i)`, which is
`C sinh(sum_i a_i x_i y_i)` with `a_i = artanh r_i` and `C = prod_i sqrt(1 - r_i^2)`: all
odd orders at once, higher ones less likely. A linear part of its own is added.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Signs = Float[np.ndarray, "rows players"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2


class OddKernel(NamedTuple):
    """Covariance `C sinh(x diag(coupling) y) + x diag(linear) y` of values of odd games."""

    coupling: Float[np.ndarray, " players"]
    linear: Float[np.ndarray, " players"]

    def covariance(self, left: Signs, right: Signs) -> Float[np.ndarray, "left right"]:
        exponent = (left * self.coupling) @ right.T
        scale = self._log_scale
        odd = (np.exp(exponent + scale) - np.exp(scale - exponent)) / 2
        return odd + (left * self.linear) @ right.T

    @property
    def variance(self) -> float:
        """Of any value: x x = 1."""
        one = np.ones((1, len(self.coupling)))
        return float(self.covariance(one, one)[0, 0])

    def slope(self, left: Signs, right: Signs) -> Float[np.ndarray, "left right"]:
        """Derivative of the first term by the exponent."""
        exponent = (left * self.coupling) @ right.T
        scale = self._log_scale
        return (np.exp(exponent + scale) + np.exp(scale - exponent)) / 2

    def shapley(self, rows: Signs) -> Float[np.ndarray, "players rows"]:
        """Covariance of each player's Shapley value with the values at `rows`.

        1 / |T| is the integral of t^(|T| - 1): the sum over T is an integral of products.
        """
        ratio = np.tanh(self.coupling)
        found = np.zeros(rows.shape)
        for t, weight in zip(_NODES, _WEIGHTS, strict=True):
            entry = t * ratio * rows
            for part in (np.log1p(entry), np.log1p(-entry)):
                found += weight * np.exp(part.sum(axis=1, keepdims=True) - part)
        return (ratio * rows * found + 2 * self.linear * rows).T

    def shapley_variance(self) -> Float[np.ndarray, " players"]:
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
        return 4 * ratio * found + 4 * self.linear

    @property
    def _log_scale(self) -> float:
        """log C."""
        return float(0.5 * np.log1p(-(np.tanh(self.coupling) ** 2)).sum())
