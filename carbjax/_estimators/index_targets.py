"""Indices as sums over pairs of complements, and fits whose index is known."""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float
from scipy import linalg

from carbjax._estimators.odd import OddFit, signs
from carbjax._estimators.odd_kernel import Rows, Signs

Coalitions = Bool[np.ndarray, "pairs players"]
_RIDGE = 1e-6  # relative; values are exact, it only keeps the factor stable


class Fit(Protocol):
    """A game near what is sampled, with a known index."""

    def predict(self, rows: Signs) -> Float[np.ndarray, " rows"]: ...

    def index(self) -> Float[np.ndarray, " outputs"]: ...


class Target(NamedTuple):
    """An index: `sum over pairs of coefficients(S) part(S)`.

    The part is `(v(S) - v(all but S)) / 2` of an odd index, with + of an even one: on
    the other part the index does not depend.
    """

    is_odd: bool
    coefficients: Callable[[Coalitions], Float[np.ndarray, "pairs outputs"]]
    fit: Callable[[Signs, Float[np.ndarray, " rows"]], Fit]


def shapley_target(num_players: int) -> Target:
    """The Shapley value of each player."""
    chance = _chances(num_players, 1)

    def coefficients(coalitions: Coalitions) -> Float[np.ndarray, "pairs players"]:
        return 2 * _of_player(coalitions, chance)

    def fit(rows: Signs, values: Float[np.ndarray, " rows"]) -> Fit:
        return _Odd(rows, values, lambda found: found.shapley()[:, 0])

    return Target(True, coefficients, fit)


def banzhaf_target(num_players: int) -> Target:
    """The Banzhaf value of each player."""
    chance = np.full(num_players, 0.5 ** (num_players - 1))

    def coefficients(coalitions: Coalitions) -> Float[np.ndarray, "pairs players"]:
        return 2 * _of_player(coalitions, chance)

    def of_fit(found: OddFit) -> Float[np.ndarray, " players"]:
        # Of a sum of products of signs, twice what stands before the player's sign alone.
        first = np.tanh(found.kernel.coupling) + found.kernel.linear
        return 2 * first * (found.rows.signs.T @ found.coefficients[:, 0])

    def fit(rows: Signs, values: Float[np.ndarray, " rows"]) -> Fit:
        return _Odd(rows, values, of_fit)

    return Target(True, coefficients, fit)


def pair_target(num_players: int) -> Target:
    """The Shapley interaction of each pair, `players * players` outputs, 0 on the
    diagonal."""
    chance = np.pad(_chances(num_players, 2), (2, 2))

    def coefficients(coalitions: Coalitions) -> Float[np.ndarray, "pairs outputs"]:
        x = signs(coalitions)
        size = coalitions.sum(axis=1)
        both = coalitions[:, :, None] & coalitions[:, None, :]
        inside = coalitions[:, :, None].astype(int) + coalitions[:, None, :]
        others = size[:, None, None] - inside + 2
        found = np.where(both | (inside == 0), 1, -1) * chance[others]
        found[:, np.arange(x.shape[1]), np.arange(x.shape[1])] = 0.0
        return 2 * found.reshape(len(coalitions), -1)

    return Target(False, coefficients, _Pairs)


class _Odd:
    """Regression on all odd orders (odd.py), of which an index is taken."""

    def __init__(
        self,
        rows: Signs,
        values: Float[np.ndarray, " rows"],
        index: Callable[[OddFit], Float[np.ndarray, " players"]],
    ):
        num_players = rows.shape[1]
        equal, no_doubts = np.zeros(num_players), np.zeros((num_players, 0))
        self._found = OddFit.of(Rows.of(rows), values[:, None], equal, no_doubts)
        self._index = index

    def predict(self, rows: Signs) -> Float[np.ndarray, " rows"]:
        return self._found.odd(Rows.of(rows))[:, 0]

    def index(self) -> Float[np.ndarray, " players"]:
        return self._index(self._found)


class _Pairs:
    """Least squares on a constant and the products of two signs, the smallest such."""

    def __init__(self, rows: Signs, values: Float[np.ndarray, " rows"]):
        self._rows, self._mean = rows, values.mean()
        kernel = _products(rows, rows)
        kernel[np.diag_indices_from(kernel)] += _RIDGE * kernel.diagonal().mean()
        self._weight = linalg.solve(kernel, values - self._mean, assume_a="pos")

    def predict(self, rows: Signs) -> Float[np.ndarray, " rows"]:
        return self._mean + _products(rows, self._rows) @ self._weight

    def index(self) -> Float[np.ndarray, " outputs"]:
        products = (self._rows * self._weight[:, None]).T @ self._rows
        np.fill_diagonal(products, 0.0)
        return 4 * products.ravel()


def _products(left: Signs, right: Signs) -> Float[np.ndarray, "left right"]:
    """Sum over pairs i < j of the products of two signs of both."""
    return ((left @ right.T) ** 2 - left.shape[1]) / 2


def _chances(num_players: int, together: int) -> Float[np.ndarray, " sizes"]:
    """That exactly so many others come before those who come together."""
    others = num_players - together
    chance = [1 / ((others + 1) * math.comb(others, s)) for s in range(others + 1)]
    return np.array(chance)


def _of_player(
    coalitions: Coalitions, chance: Float[np.ndarray, " sizes"]
) -> Float[np.ndarray, "pairs players"]:
    """Factor of v(S) in a semivalue with these chances of its others."""
    size = coalitions.sum(axis=1)
    joined, absent = np.r_[0.0, chance][size], np.r_[chance, 0.0][size]
    return np.where(coalitions, joined[:, None], -absent[:, None])
