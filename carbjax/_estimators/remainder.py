"""What the control leaves of a game: this is what estimators estimate."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from carbjax._estimators.columns import total_of
from carbjax._estimators.control import Control, DoubtfulControl
from carbjax._estimators.odd_kernel import Rows
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
        self.doubts_shapley = np.zeros((self.num_players, 0))
        if isinstance(control, DoubtfulControl):
            self.doubts_shapley = control.doubts_shapley()
            oracle.values(control.taken)
        alone = np.eye(self.num_players, dtype=bool)
        # Of the pairs of one player and all others, one half may be paid for.
        self.knows_singles = oracle.knows(alone) or oracle.knows(~alone)
        extremes = np.repeat([[False], [True]], self.num_players, axis=1)
        self.nobody, self.everybody = self.values(extremes)
        # What the control says of players' sizes: large players interact more.
        self.log_weight = relative_weights(total_of(control.shapley()))

    def values(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Values:
        """Of each coalition, `"coalitions 6"`."""
        return self._with_doubts(coalitions)[0]

    def odd(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Values:
        """(r(S) - r(all but S)) / 2: the part on which the Shapley value depends."""
        return self.odd_with_rows(coalitions)[0]

    def odd_with_rows(
        self, coalitions: Bool[np.ndarray, "coalitions players"]
    ) -> tuple[Values, Rows]:
        """`odd`, and the coalitions as a fit takes them."""
        both = np.concatenate([coalitions, ~coalitions])
        values, doubts = (_odd_part(x) for x in self._with_doubts(both))
        return values, Rows(np.where(coalitions, 1.0, -1.0), doubts)

    def _with_doubts(
        self, coalitions: Bool[np.ndarray, "coalitions players"]
    ) -> tuple[Values, Float[np.ndarray, "coalitions doubts"]]:
        if isinstance(self._control, DoubtfulControl):
            control, doubts = self._control.values_and_doubts(coalitions)
        else:
            control, doubts = (
                self._control.values(coalitions),
                np.zeros((len(coalitions), 0)),
            )
        return with_total(self._oracle.values(coalitions) - control), doubts

    @property
    def worth(self) -> Values:
        """r(all) - r(none), to be shared, `" 6"`."""
        return self.everybody - self.nobody


def _odd_part(both: Float[np.ndarray, "two_coalitions columns"]) -> np.ndarray:
    """Of values of coalitions, followed by those of their complements."""
    number = len(both) // 2
    return (both[:number] - both[number:]) / 2


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
