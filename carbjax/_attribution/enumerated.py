"""Sums over all coalitions, streamed in chunks over all devices."""

import collections
import functools as ft
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from carbjax._attribution.indices import AbstractIndex
from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame
from carbjax._games.lattice import Lattice
from carbjax._games.many import require_finite
from carbjax._progress import is_heard, report
from carbjax._serving.buckets import power_of

IndexOf = Callable[[int], AbstractIndex]
"""The index of games of so many players."""

_CHUNK = 4096  # coalitions that a processor evaluates at once
_WIDE_CHUNK = 65536  # and an accelerator, on which a step costs its launches
_FEWEST = 64
_BLOCK = 64  # coalitions whose part is added up first
_MOST_BITS = 30  # more coalitions than 2^30 are refused
_AXIS = "coalitions"


def enumerate_index(game: AbstractGame, index_of: IndexOf) -> Emissions:
    """The index by component, for players, from all coalitions of the game.

    Each device evaluates its part of each chunk in a loop of its own; only sums travel.
    With other devices they are added in another order: the results differ by rounding.
    Under `jax.distributed` devices are those of all hosts, each of which must call this
    with the same game, and is given the whole result.

    Raises `InputError` beyond 2^30 distinct coalitions.
    """
    require_enumerable(game)
    devices = jax.devices()
    players, wide = game.num_players, game.padded()
    lattice = Lattice(game.kinds, room=wide.num_players)
    index = index_of(players).padded(wide.num_players)
    needed = -(-lattice.num_coalitions // len(devices))
    most = _CHUNK if devices[0].platform == "cpu" else _WIDE_CHUNK
    each = min(most, power_of(4, needed, least=_FEWEST))
    given, mesh = (wide, lattice, index), None
    if len(devices) > 1:
        mesh = Mesh(np.array(devices), (_AXIS,))
        given = eqx.filter_shard(given, NamedSharding(mesh, PartitionSpec()))
    total, lost, done = None, None, 0
    for numbers in lattice.chunks(each * len(devices)):
        part = _sums(given, _spread(numbers, mesh), mesh)
        total, lost = (part, None) if total is None else _added(total, lost, part)
        done += int(np.count_nonzero(numbers >= 0))
        if is_heard():
            jax.block_until_ready(total)
            report("coalitions", done, lattice.num_coalitions)
    assert total is not None
    if lost is not None:
        total = total + lost
    require_finite(total)

    def of_players(outputs: Array) -> np.ndarray:
        found = index.of_players(lattice, np.asarray(outputs))
        return found[(slice(players),) * found.ndim]

    return jax.tree.map(of_players, total)


def _spread(numbers: Int[np.ndarray, " chunk"], mesh: Mesh | None) -> Int[Array, " chunk"]:
    """The numbers on the devices, each of which holds its part alone."""
    if mesh is None:
        return jax.device_put(numbers)
    sharding = NamedSharding(mesh, PartitionSpec(_AXIS))
    return jax.make_array_from_callback(numbers.shape, sharding, lambda i: numbers[i])


def num_coalitions(game: AbstractGame) -> int:
    """Coalitions that differ by more than the exchange of players of one kind."""
    return math.prod(count + 1 for count in collections.Counter(game.kinds).values())


def require_enumerable(game: AbstractGame) -> None:
    """Raises `InputError` beyond 2^30 distinct coalitions."""
    if num_coalitions(game) > 2**_MOST_BITS:
        raise InputError(
            f"{game.num_players} players of {len(set(game.kinds))} kinds make more than "
            f"2^{_MOST_BITS} coalitions to enumerate.",
            hint="Use fewer requests, tenants as players, or `method='streaming'`.",
        )


Given = tuple[AbstractGame, Lattice, AbstractIndex]


@eqx.filter_jit
def _sums(given: Given, numbers: Int[Array, " chunk"], mesh: Mesh | None) -> Emissions:
    """What the coalitions of these numbers add to the index."""
    if mesh is None:
        return _sums_here(given, numbers)
    arrays, static = eqx.partition(given, eqx.is_array)

    @ft.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(_AXIS)),
        out_specs=PartitionSpec(),
        check_vma=False,  # the engine's loops start from constants
    )
    def of_device(arrays, numbers):
        found = _sums_here(eqx.combine(arrays, static), numbers)
        return jax.lax.psum(found, _AXIS)

    return of_device(arrays, numbers)


@jax.jit
def _added(
    total: Emissions, lost: Emissions | None, part: Emissions
) -> tuple[Emissions, Emissions]:
    """total + part, and what all roundings so far have left out.

    Positive and negative terms are many times as large as what is left of them.
    """

    def add(a: Array, b: Array) -> tuple[Array, Array]:
        both = a + b
        of_b = both - a
        return both, (a - (both - of_b)) + (b - of_b)

    pairs = jax.tree.map(add, total, part)
    more, rest = jax.tree.transpose(
        jax.tree.structure(total), jax.tree.structure((0, 0)), pairs
    )
    return more, rest if lost is None else lost + rest


def _sums_here(given: Given, numbers: Int[Array, " chunk"]) -> Emissions:
    game, lattice, index = given
    inside = numbers >= 0
    counts = lattice.counts(jnp.where(inside, numbers, 0))
    weights = jnp.where(inside[:, None], index.weights(lattice, counts), 0.0)
    values = jax.vmap(game.components)(jnp.asarray(lattice.coalitions(counts)))
    # Sums of sums: one long sum would round as often as it has terms.
    blocks = weights.reshape(-1, _BLOCK, weights.shape[1])

    def add_up(v: Array) -> Array:
        columns = v.reshape(-1, _BLOCK)
        # Some accelerators multiply 32-bit matrices in fewer bits unless asked not to.
        sums = jnp.einsum("bck,bc->bk", blocks, columns, precision="highest")
        return jnp.sum(sums, axis=0)

    return jax.tree.map(add_up, values)
