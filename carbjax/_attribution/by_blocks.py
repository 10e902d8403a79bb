"""Indices of a serving game as sums over its independent blocks."""

import jax
import numpy as np
from jaxtyping import Array

from carbjax._attribution.enumerated import (
    IndexOf,
    enumerate_index,
    num_coalitions,
    require_enumerable,
)
from carbjax._carbon.emissions import Emissions
from carbjax._games.base import AbstractGame
from carbjax._games.block_game import Block, BlockGame
from carbjax._games.block_tables import BlockTable, tabulate_blocks
from carbjax._games.blocks import MOST_PROBED, blocks_of
from carbjax._games.many import require_finite
from carbjax._games.serving import ServingGame

_WORTH_SPLITTING = 2**16  # coalitions; fewer are quicker to run than to take apart


def index_of_game(game: AbstractGame, index_of: IndexOf) -> Emissions:
    """The index by component, for players: by blocks where the game has several.

    Raises `InputError` where the game, or its largest block, has more than 2^30 distinct
    coalitions.
    """
    if isinstance(game, ServingGame) and num_coalitions(game) > _WORTH_SPLITTING:
        blocks = blocks_of(game)
        if len(blocks) > 1:
            return index_by_blocks(game, blocks, index_of)
    return enumerate_index(game, index_of)


def index_by_blocks(game: ServingGame, blocks: list[Block], index_of: IndexOf) -> Emissions:
    """The sum of the blocks' indices; players of different blocks do not interact."""
    for block in blocks:
        require_enumerable(BlockGame(game, block))
    small = [b for b in blocks if num_coalitions(BlockGame(game, b)) <= MOST_PROBED]
    found = [(t.block, _of_table(t, index_of)) for t in tabulate_blocks(game, small)]
    for block in blocks:
        if num_coalitions(BlockGame(game, block)) > MOST_PROBED:
            found.append((block, enumerate_index(BlockGame(game, block), index_of)))
    return _sum(game.num_players, found)


def _of_table(table: BlockTable, index_of: IndexOf) -> Emissions:
    require_finite(table.values)
    lattice = table.lattice
    index = index_of(len(table.block.players)).on_host()
    weights = index.weights(lattice, lattice.counts(np.arange(lattice.num_coalitions)))

    def of_players(values: Array) -> np.ndarray:
        return index.of_players(lattice, np.asarray(weights.T @ np.asarray(values)))

    return jax.tree.map(of_players, table.values)


def _sum(num_players: int, found: list[tuple[Block, Emissions]]) -> Emissions:
    """Each block's index at the place of its players."""

    def add(*parts: np.ndarray) -> np.ndarray:
        whole = np.zeros((num_players,) * parts[0].ndim)
        for (block, _), part in zip(found, parts, strict=True):
            whole[np.ix_(*[block.players] * part.ndim)] += part
        return whole

    return jax.tree.map(add, *(index for _, index in found))
