"""The estimators by name."""

import difflib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from carbjax._errors import InputError
from carbjax._estimators.cross_fit import adjusted, stratified
from carbjax._estimators.kernel_regression import kernel_shap, leverage_shap
from carbjax._estimators.odd import MOST_PAIRS, odd
from carbjax._estimators.permutation import antithetic, permutation, sobol
from carbjax._estimators.remainder import Draws, Remainder

Estimator = Callable[[Remainder, int, np.random.Generator], Draws]
"""Estimates the remainder's Shapley value with at most so many of its values."""


class Entry(NamedTuple):
    """An estimator; `least` is the budget that it needs for so many players."""

    estimator: Estimator
    least: Callable[[int], int]
    unbiased: bool


def _two_orders(num_players: int) -> int:
    return 2 * num_players


def _one_more_than_players(num_players: int) -> int:
    """One pair of complements for each player, and the two extremes."""
    return 2 * num_players + 2


def _any(num_players: int) -> int:
    return min(4, num_players + 1)


ESTIMATORS: dict[str, Entry] = {
    "odd": Entry(odd, _any, unbiased=False),
    "adjusted": Entry(adjusted, _one_more_than_players, unbiased=True),
    "antithetic": Entry(antithetic, _two_orders, unbiased=True),
    "sobol": Entry(sobol, _two_orders, unbiased=True),
    "permutation": Entry(permutation, _two_orders, unbiased=True),
    "stratified": Entry(stratified, _one_more_than_players, unbiased=True),
    "kernel_shap": Entry(kernel_shap, _one_more_than_players, unbiased=False),
    "leverage_shap": Entry(leverage_shap, _one_more_than_players, unbiased=False),
}


def find_estimator(name: str, budget: int) -> tuple[str, Entry]:
    """The estimator of this name; of "auto" the best one for the budget.

    That is `odd` as long as its regression can hold all pairs, then `adjusted`. Raises
    `InputError` for an unknown name.
    """
    best = "odd" if budget <= 2 * MOST_PAIRS else "adjusted"
    chosen = best if name == "auto" else name
    if chosen not in ESTIMATORS:
        near = difflib.get_close_matches(name, ESTIMATORS, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        raise InputError(
            f"there is no estimator {name!r}.",
            hint=f"{guess}Choose of auto, {', '.join(ESTIMATORS)}.",
        )
    return chosen, ESTIMATORS[chosen]
