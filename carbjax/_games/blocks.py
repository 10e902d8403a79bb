"""Blocks of requests that never share the server, whoever is served."""

import numpy as np
from jaxtyping import Float, Int

from carbjax._games.block_ends import latest_ends
from carbjax._games.block_game import Block, kinds_of
from carbjax._games.block_tables import tabulate_blocks
from carbjax._games.lattice import Lattice
from carbjax._games.serving import ServingGame
from carbjax._serving.system import System
from carbjax._workload import Workload

MOST_PROBED = 2**16  # coalitions of a block that are all run to see when they end


def independent_blocks(
    workload: Workload, system: System
) -> list[Int[np.ndarray, " players"]]:
    """The players of each block of requests that never shares the server with another.

    In no coalition does a request of one block run, or wait, when one of another arrives
    or runs; so the reschedule game is v(nobody) plus a sum of games of the blocks
    (docs/structure.md), and its Shapley value is the sum of theirs. Blocks are in order
    of time. A player with requests in several blocks is in each of them; a player that
    asks for nothing is in none.

    Proven, not assumed: of each block the latest end of any coalition's run is before
    the next block's first arrival. Where a bound on it is not, all coalitions of a block
    are run, and blocks that meet are merged. Raises as `ServingGame` does.
    """
    game = ServingGame(workload, system)
    return [block.players for block in blocks_of(game)]


def blocks_of(game: ServingGame, *, most_probed: int = MOST_PROBED) -> list[Block]:
    """The blocks of the game, proven to be independent.

    A block of more than `most_probed` coalitions that no bound proves is merged with the
    next one.
    """
    # From single requests, whatever merges must: what remains is as fine as can be.
    blocks = _single_requests(game)
    ends = np.full(len(blocks), -np.inf)
    while True:
        first = np.array([_arrivals(game, block)[0] for block in blocks])
        ends = _ends(game, blocks, ends, first, most_probed)
        meets = ends[:-1] >= first[1:]
        if not meets.any():
            return blocks
        blocks, ends = _merge(game, blocks, ends, meets)


def without_common_players(game: ServingGame, blocks: list[Block]) -> list[Block]:
    """The blocks, those that share a player as one."""
    group = np.arange(game.num_players)  # the first of the players met so far
    for block in blocks:
        met = np.unique(group[block.players])
        group[np.isin(group, met)] = met[0]
    joined = [group[block.players[0]] for block in blocks]
    return [
        _block(
            game,
            np.concatenate(
                [b.requests for b, j in zip(blocks, joined, strict=True) if j == number]
            ),
        )
        for number in dict.fromkeys(joined)
    ]


def _single_requests(game: ServingGame) -> list[Block]:
    asks = (np.asarray(game.prefill) > 0) | (np.asarray(game.decode) > 0)
    slots = np.flatnonzero(asks)
    return [_block(game, slots[k : k + 1]) for k in range(len(slots))]


def _ends(
    game: ServingGame,
    blocks: list[Block],
    known: Float[np.ndarray, " blocks"],
    first: Float[np.ndarray, " blocks"],
    most_probed: int,
) -> Float[np.ndarray, " blocks"]:
    """When each block ends at the latest, as exactly as is needed; the last one's, 0."""
    ends = known.copy()
    asked = np.flatnonzero(np.isneginf(known[:-1]))
    if len(asked):
        ends[asked] = latest_ends(game, [blocks[k] for k in asked])
    near = [k for k in asked if ends[k] >= first[k + 1]]
    probed = [k for k in near if _size(game, blocks[k]) <= most_probed]
    for k, table in zip(probed, tabulate_blocks(game, [blocks[k] for k in probed])):
        ends[k] = table.end.max()
    return ends


def _merge(
    game: ServingGame,
    blocks: list[Block],
    ends: Float[np.ndarray, " blocks"],
    meets: Int[np.ndarray, " gaps"],
) -> tuple[list[Block], Float[np.ndarray, " blocks"]]:
    """Blocks that meet as one, whose end is not known yet."""
    group = np.concatenate([[0], np.cumsum(~meets)])
    merged, known = [], []
    for number in range(group[-1] + 1):
        parts = np.flatnonzero(group == number)
        requests = np.concatenate([blocks[k].requests for k in parts])
        merged.append(_block(game, requests))
        known.append(ends[parts[0]] if len(parts) == 1 else -np.inf)
    return merged, np.array(known)


def _block(game: ServingGame, requests: Int[np.ndarray, " requests"]) -> Block:
    return Block(requests, np.unique(np.asarray(game.player)[requests]))


def _arrivals(game: ServingGame, block: Block) -> Float[np.ndarray, " requests"]:
    return np.asarray(game.arrival)[block.requests]


def _size(game: ServingGame, block: Block) -> int:
    return Lattice(kinds_of(game, block)).num_coalitions
