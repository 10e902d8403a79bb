"""What a control variate is: a game near v whose Shapley value is known."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from carbjax._estimators.columns import NUM_COLUMNS, Columns


class Control(Protocol):
    """A game that costs next to nothing to evaluate, with a known Shapley value.

    An estimator estimates the Shapley value of `v - control` and adds the control's:
    the nearer the control is to v, the less there is to estimate. By linearity the sum is
    unbiased however bad the control is. It need not be right for nobody: only
    differences of its values count.
    """

    @property
    def name(self) -> str:
        """As in `estimate_shapley(..., control=name)`."""
        ...

    def values(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Columns:
        """Its value by component, `"coalitions 5"`, in the order of `COLUMNS`."""
        ...

    def shapley(self) -> Columns:
        """Its exact Shapley value by component, `"players 5"`."""
        ...


@runtime_checkable
class DoubtfulControl(Control, Protocol):
    """A control that took values of v to make, and that says how it may be wrong.

    v is the control, plus unknown multiples of a few games, the doubts, plus what is left.
    The multiples are learnt, and are likely to be below 1/2. Doubts are in g, and only
    differences of their values count.
    """

    @property
    def taken(self) -> Bool[np.ndarray, "coalitions players"]:
        """Whose values it took: they count as evaluations."""
        ...

    def values_and_doubts(
        self, coalitions: Bool[np.ndarray, "coalitions players"]
    ) -> tuple[Columns, Float[np.ndarray, "coalitions doubts"]]:
        """`values`, and those of the doubts."""
        ...

    def doubts_shapley(self) -> Float[np.ndarray, "players doubts"]:
        """The exact Shapley value of each doubt."""
        ...


class NoControl:
    """The game that is 0 for everybody."""

    name = "none"

    def __init__(self, num_players: int):
        self._num_players = num_players

    def values(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Columns:
        return np.zeros((len(coalitions), NUM_COLUMNS))

    def shapley(self) -> Columns:
        return np.zeros((self._num_players, NUM_COLUMNS))
