"""What the control leaves of a game: this is what estimators estimate."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from carbjax._estimators.columns import total_of
from carbjax._estimators.control import Control
from carbjax._estimators.oracle import Oracle

Values = Float[np.ndarray, "*batch 6"]
"""The five columns, then the total in gCO2e, which estimators go by."""

TOTAL = -1
_LEAST_WEIGHT = 1e-3  # of a player, over the mean


class Remainder:
    """The game `v - control`, by component and in total."""

    def __init__(self, oracle: Oracle, control: Control):
        self._oracle, self._control = oracle, control
        self.num_players = oracle.num_players
        extremes = np.repeat([[False], [True]], self.num_players, axis=1)
        self.nobody, self.everybody = self.values(extremes)
        # What the control says of players' sizes: large players interact more.
        self.log_weight = relative_weights(total_of(control.shapley()))

    def values(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Values:
        """Of each coalition, `"coalitions 6"`."""
        return with_total(
            self._oracle.values(coalitions) - self._control.values(coalitions)
        )

    def odd(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Values:
        """(r(S) - r(all but S)) / 2: the part on which the Shapley value depends."""
        both = self.values(np.concatenate([coalitions, ~coalitions]))
        return (both[: len(coalitions)] - both[len(coalitions) :]) / 2

    @property
    def worth(self) -> Values:
        """r(all) - r(none), to be shared, `" 6"`."""
        return self.everybody - self.nobody


class Draws(NamedTuple):
    """What an estimator found of the remainder's Shapley value."""

    shares: Float[np.ndarray, "players 6"]
    stderr: Float[np.ndarray, "players 6"]


def with_total(columns: Float[np.ndarray, "*batch 5"]) -> Values:
    return np.concatenate([columns, total_of(columns)[..., None]], axis=-1)


def relative_weights(
    shares: Float[np.ndarray, " players"],
) -> Float[np.ndarray, " players"]:
    """Logarithm of each player's share over the mean, 0 where shares say nothing."""
    size = np.abs(shares)
    if not size.sum() > 0:
        return np.zeros(len(shares))
    return np.log(np.maximum(size / size.mean(), _LEAST_WEIGHT))
