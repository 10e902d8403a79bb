"""Seeded runs of an estimator, each coalition game and budget tried many times."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._estimators.control import Control
from carbjax._estimators.estimate import estimate_shapley
from carbjax._estimators.wanted import shares_alone
from carbjax._games.base import AbstractGame

Sampler = Callable[[AbstractGame, int, PRNGKeyArray], Float[np.ndarray, " players"]]
"""Shares from at most so many values of the game, with this key."""


class Trials:
    """The worst player's error of each seeded run, by budget; nothing is run twice."""

    def __init__(
        self,
        game: AbstractGame,
        sampler: Sampler,
        truth: Float[np.ndarray, " players"],
        key: PRNGKeyArray,
    ):
        self._game, self._sampler = game, sampler
        self._truth, self._key = truth, key
        self._errors: dict[int, list[float]] = {}

    def errors(self, budget: int, count: int) -> Float[np.ndarray, " runs"]:
        """The first `count` runs' largest |estimate - truth|, gCO2e; inf if not finite.

        Run r has the same key whatever the budget and the estimator.
        """
        known = self._errors.setdefault(budget, [])
        for run in range(len(known), count):
            key = jax.random.fold_in(self._key, run)
            with shares_alone():
                shares = np.asarray(self._sampler(self._game, budget, key), float)
            error = float(np.abs(shares - self._truth).max())
            known.append(error if np.isfinite(error) else np.inf)
        return np.array(known[:count])

    @property
    def num_runs(self) -> int:
        """Runs made so far, all budgets together."""
        return sum(map(len, self._errors.values()))


def named_sampler(estimator: str, control: str | Control) -> Sampler:
    """An estimator of `carbjax.estimate_shapley` as a `Sampler`."""

    def sample(game: AbstractGame, budget: int, key: PRNGKeyArray) -> np.ndarray:
        found = estimate_shapley(
            game, budget=budget, estimator=estimator, control=control, key=key
        )
        return found.shares

    return sample
