"""All values of many small blocks, evaluated side by side by one program."""

import functools as ft
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from carbjax._carbon.emissions import Emissions
from carbjax._carbon.footprint import Footprint
from carbjax._games.block_game import Block, Requests, kinds_of, play
from carbjax._games.lattice import Lattice
from carbjax._games.serving import ServingGame
from carbjax._progress import report
from carbjax._serving.engine import Server

_CHUNK = 512  # coalitions that are evaluated at once
_SMALLEST_SLOTS = 16  # one program for all blocks that are small


class BlockTable(NamedTuple):
    """A block's values above that of nobody, and the ends of its runs."""

    block: Block
    lattice: Lattice  # of numpy arrays
    values: Emissions  # " coalitions", in the lattice's order
    end: Float[np.ndarray, " coalitions"]  # s, on the game's clock


def tabulate_blocks(game: ServingGame, blocks: list[Block]) -> list[BlockTable]:
    """A table for each block, of all its distinct coalitions."""
    if not blocks:
        return []
    slots = _num_slots(blocks)
    requests = _stack([Requests.of(game, block) for block in blocks], slots)
    lattices = [Lattice(kinds_of(game, block)).on_host() for block in blocks]
    coalitions = np.concatenate([_coalitions(lattice, slots) for lattice in lattices])
    sizes = [lattice.num_coalitions for lattice in lattices]
    number = np.repeat(np.arange(len(blocks)), sizes)
    values, end = _evaluate(game, requests, number, coalitions)
    cuts = np.cumsum(sizes)[:-1]
    parts = zip(*(np.split(x, cuts) for x in (*jax.tree.leaves(values), end)), strict=True)
    return [
        BlockTable(block, lattice, Emissions(*columns), last)
        for block, lattice, (*columns, last) in zip(blocks, lattices, parts, strict=True)
    ]


def everybody_of(game: ServingGame, blocks: list[Block]) -> Emissions:
    """v of all players of each block above that of nobody, `" blocks"`."""
    slots = _num_slots(blocks)
    requests = _stack([Requests.of(game, block) for block in blocks], slots)
    sizes = np.array([len(block.players) for block in blocks])
    coalitions = np.arange(slots)[None, :] < sizes[:, None]
    return _evaluate(game, requests, np.arange(len(blocks)), coalitions)[0]


def _num_slots(blocks: list[Block]) -> int:
    slots = max(len(block.requests) for block in blocks)
    return max(_SMALLEST_SLOTS, 1 << (slots - 1).bit_length())


def _coalitions(lattice: Lattice, slots: int) -> Bool[np.ndarray, "coalitions slots"]:
    counts = lattice.counts(np.arange(lattice.num_coalitions))
    found = np.asarray(lattice.coalitions(counts))
    return np.pad(found, ((0, 0), (0, slots - found.shape[1])))


def _stack(each: list[Requests], slots: int) -> Requests:
    """Filled up with null requests, blocks along a new first axis, on the host."""
    columns = (
        np.stack([np.pad(np.asarray(x), (0, slots - len(x))) for x in column])
        for column in zip(*each, strict=True)
    )
    arrival, prefill, decode, player = columns
    return Requests(arrival, prefill, decode, player)


def _evaluate(
    game: ServingGame,
    requests: Requests,
    number: Int[np.ndarray, " rows"],
    coalitions: Bool[np.ndarray, "rows slots"],
) -> tuple[Emissions, Float[np.ndarray, " rows"]]:
    """In chunks of one size, filled up with block 0's nobody."""
    # Lanes advance in lockstep: those with as many players take about as many steps.
    order = np.argsort(coalitions.sum(axis=1), kind="stable")
    found = []
    for start in range(0, len(order), _CHUNK):
        rows = order[start : start + _CHUNK]
        extra = _CHUNK - len(rows)
        # A row brings its block's requests: the program does not know how many blocks.
        which = np.pad(number[rows], (0, extra))
        members = np.pad(coalitions[rows], ((0, extra), (0, 0)))
        mine = jax.tree.map(lambda x, which=which: jnp.asarray(x[which]), requests)
        chunk = _play_rows(game.server, game.footprint, mine, jnp.asarray(members))
        found.append(jax.tree.map(lambda x, n=len(rows): np.asarray(x)[:n], chunk))
        report("coalitions of blocks", start + len(rows), len(order))
    back = np.argsort(order, kind="stable")
    return jax.tree.map(lambda *x: np.concatenate(x)[back], *found)


@eqx.filter_jit
def _play_rows(
    server: Server,
    footprint: Footprint,
    requests: Requests,
    coalitions: Bool[Array, "rows slots"],
) -> tuple[Emissions, Float[Array, " rows"]]:
    of_row = ft.partial(play, server, footprint)
    return jax.vmap(of_row)(requests, coalitions)
