"""The control that needs no schedule: what players are worth alone."""

import numpy as np
from jaxtyping import Bool

from carbjax._estimators.columns import Columns
from carbjax._estimators.oracle import Oracle


class StandAlone:
    """The additive game of `v({i}) - v(none)`; n evaluations."""

    name = "stand_alone"

    def __init__(self, oracle: Oracle):
        alone = oracle.values(np.eye(oracle.num_players, dtype=bool))
        self._nobody = oracle.nobody
        self._shares = alone - self._nobody

    def values(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Columns:
        return self._nobody + np.asarray(coalitions, np.float64) @ self._shares

    def shapley(self) -> Columns:
        return self._shares
