"""Estimates as `estimate_shapley` makes them of a game of serving, from known values.

Repeated runs ask for the same values again and again, and for the same controls. Here the
game is a table, and each control is made once.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._criteria.tabulate import Tabulated
from carbjax._estimators.blocks import separate_blocks
from carbjax._estimators.closed_form import ClosedForm, closed_form
from carbjax._estimators.controls import retiming_for
from carbjax._estimators.enumeration import num_distinct
from carbjax._estimators.estimate import estimate_shapley
from carbjax._estimators.registry import find_estimator
from carbjax._games.base import AbstractGame
from carbjax._games.block_game import Block, BlockGame
from carbjax._games.replay import ReplayGame
from carbjax._games.serving import ServingGame


class DefaultEstimates:
    """What `estimate_shapley(game, budget=…, estimator=…, key=…)` shares out.

    `table`: the game by its values, None where there are too many.
    """

    def __init__(
        self, game: ServingGame | ReplayGame, table: Tabulated | None, estimator: str
    ):
        self._estimator = estimator
        self._num_players = game.num_players
        self._parts = [_Part(np.arange(game.num_players), table or game, _Controls(game))]
        if isinstance(game, ServingGame) and len(blocks := separate_blocks(game)) > 1:
            self._parts = [_part(BlockGame(game, b), b, table) for b in blocks]

    def __call__(
        self, _: AbstractGame, budget: int, key: PRNGKeyArray
    ) -> Float[np.ndarray, " players"]:
        """Shares, gCO2e, of at most so many values of the game that this was made for."""
        shares = np.zeros(self._num_players)
        for part in self._parts:
            control = "none"
            if budget < num_distinct(part.game.kinds):
                control = part.controls.at(self._estimator, budget)
            found = estimate_shapley(
                part.game,
                budget=budget,
                estimator=self._estimator,
                control=control,
                key=key,
            )
            shares[part.players] = found.shares
        return shares


class _Controls:
    """The closed forms of a game by how they retime, each made when it is first needed."""

    def __init__(self, game: ServingGame | ReplayGame):
        self._game = game
        self._made: dict[str, ClosedForm] = {}

    def at(self, estimator: str, budget: int) -> ClosedForm:
        """The one that goes with this budget."""
        players = self._game.num_players
        least = find_estimator(estimator, budget)[1].least(players)
        retiming = retiming_for(players, budget, least)
        if retiming not in self._made:
            self._made[retiming] = closed_form(self._game, retiming=retiming)
        return self._made[retiming]


class _Part(NamedTuple):
    """Players who share the server with nobody else."""

    players: np.ndarray
    game: AbstractGame
    controls: _Controls


def _part(game: BlockGame, block: Block, table: Tabulated | None) -> _Part:
    known = game if table is None else _table_of(table, block)
    return _Part(block.players, known, _Controls(game))


def _table_of(table: Tabulated, block: Block) -> Tabulated:
    """What the block's coalitions emit above nobody."""
    players = block.players
    inside = (np.arange(2 ** len(players))[:, None] >> np.arange(len(players))) & 1
    columns = np.asarray(table.columns)
    labels = np.asarray(table.kinds)[players]
    kinds = np.unique(labels, return_inverse=True)[1]
    return Tabulated(
        jnp.asarray(columns[inside @ (1 << players)] - columns[0]), tuple(kinds.tolist())
    )
