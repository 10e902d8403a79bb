"""Estimates of a serving game from estimates of its independent blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from carbjax._carbon.emissions import Emissions
from carbjax._estimators.accuracy import missed
from carbjax._estimators.columns import NUM_COLUMNS, Columns, to_columns, to_emissions
from carbjax._estimators.enumeration import enumerate_shapley, num_distinct
from carbjax._estimators.oracle import Oracle
from carbjax._games.block_game import Block, BlockGame
from carbjax._games.block_tables import BlockTable, everybody_of, tabulate_blocks
from carbjax._games.blocks import blocks_of, without_common_players
from carbjax._games.serving import ServingGame

if TYPE_CHECKING:
    from carbjax._estimators.estimate import Estimate


class Joined(NamedTuple):
    """The fields of an `Estimate`."""

    emissions: Emissions
    stderr: Float[np.ndarray, " players"]
    num_evaluations: int
    estimator: str
    control: str
    nobody: Emissions
    everybody: Emissions
    flags: tuple[str, ...]


EstimateBlock = Callable[[BlockGame, "float | None"], "Estimate"]
"""Estimates the Shapley value of a block's game, to an accuracy if one is given."""


def separate_blocks(game: ServingGame) -> list[Block]:
    """Blocks of players that never share the server; proven without running anything."""
    if isinstance(game, BlockGame):
        return []
    return without_common_players(game, blocks_of(game, most_probed=0))


def estimate_by_blocks(
    game: ServingGame,
    blocks: list[Block],
    budget: int,
    accuracy: float | None,
    each: EstimateBlock,
) -> Joined:
    """The estimates of the blocks as one.

    Coalitions of all blocks go together in one coalition of the whole, so a sample of
    the whole is a sample of each block: each has the whole budget, and as many
    evaluations count as the largest sample has. A block of which the budget pays for all
    coalitions is exact.
    """
    worth = _worth(game, blocks)
    mean = worth.sum() / game.num_players
    shares, stderr = np.zeros((game.num_players, NUM_COLUMNS)), np.zeros(game.num_players)
    small = [num_distinct(BlockGame(game, block).kinds) <= budget for block in blocks]
    tables = tabulate_blocks(game, [b for b, s in zip(blocks, small, strict=True) if s])
    for table in tables:
        shares[table.block.players] = enumerate_shapley(_KnownOracle(game, table))
    sampled = []
    for block, own, is_small in zip(blocks, worth, small, strict=True):
        if is_small:
            continue
        asked = accuracy
        if accuracy is not None:  # a part of the mean share of all, not of the block's
            asked = accuracy * mean * len(block.players) / own
        found = each(BlockGame(game, block), asked)
        shares[block.players] = to_columns(found.emissions)
        stderr[block.players] = found.stderr
        sampled.append(found)
    nobody = to_columns(game.standing)
    samples = [found.num_evaluations for found in sampled]
    return Joined(
        to_emissions(shares),
        stderr,
        max(samples + [table.lattice.num_coalitions for table in tables]),
        sampled[0].estimator if sampled else "exact",
        sampled[0].control if sampled else "none",
        to_emissions(nobody),
        to_emissions(nobody + shares.sum(axis=0)),
        missed(float(stderr.max() / abs(mean)), accuracy),
    )


class _KnownOracle(Oracle):
    """An oracle of a block whose values are all known."""

    def __init__(self, game: ServingGame, table: BlockTable):
        super().__init__(BlockGame(game, table.block), 1)
        self._lattice, self._columns = table.lattice, to_columns(table.values)

    def values(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Columns:
        of_kind = np.eye(len(self._lattice.members), dtype=int)[self._lattice.kind]
        counts = np.asarray(coalitions, int) @ of_kind
        return self._columns[counts @ np.asarray(self._lattice.stride)]


def _worth(game: ServingGame, blocks: list[Block]) -> Float[np.ndarray, " blocks"]:
    """gCO2e that each block's players are to share."""
    everybody: Emissions = everybody_of(game, blocks)
    return np.asarray(jax.device_get(everybody.total))
