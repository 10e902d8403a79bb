"""The Shapley value by enumeration of all coalitions, streamed in chunks."""

import collections
import math
from collections.abc import Iterator
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame
from carbjax._games.many import require_finite
from carbjax._progress import is_heard, report

_CHUNK = 4096
_MOST_BITS = 30  # more coalitions than 2^30 are refused
_BLOCK = 2**20  # coalitions that are put in order of size at once


def shapley(game: AbstractGame) -> Float[Array, " players"]:
    """Exact Shapley value of each player, gCO2e; the shares sum to v(all) - v(none).

    All 2^n coalitions are evaluated in chunks, and the table is never held. Players of
    one kind (equal requests) compress: with kinds of m_1, m_2, ... members only
    prod(m_k + 1) coalitions differ (docs/games.md).

    Raises `InputError` beyond 2^30 distinct coalitions.
    """
    return shapley_emissions(game).total


def shapley_emissions(game: AbstractGame) -> Emissions:
    """As `shapley`, by component: one pass attributes them all, for it is linear."""
    members = collections.Counter(game.kinds).values()
    if sum(math.log2(count + 1) for count in members) > _MOST_BITS:
        raise InputError(
            f"{game.num_players} players of {len(members)} kinds make more than "
            f"2^{_MOST_BITS} coalitions to enumerate.",
            hint="Use fewer requests, tenants as players, or `method='streaming'`.",
        )
    lattice = Lattice(game.kinds)
    total, done = None, 0
    for index in lattice.chunks():
        part = _chunk_shares(game, lattice, jnp.asarray(index))
        total = part if total is None else total + part
        done += int(np.count_nonzero(index >= 0))
        if is_heard():
            jax.block_until_ready(total)
            report("coalitions", done, lattice.num_coalitions)
    assert total is not None
    require_finite(total)
    return jax.tree.map(lambda x: x[lattice.kind], total)


class Lattice(eqx.Module):
    """Coalitions up to the exchange of players of one kind, as numbers.

    The digits of a coalition's number say how many of each kind take part.
    """

    kind: Int[Array, " players"]
    position: Int[Array, " players"]  # among the players of the same kind
    members: Int[Array, " kinds"]
    stride: Int[Array, " kinds"]
    ways: Float[Array, "kinds counts"]  # coalitions of a kind's members by their number
    weight_in: Float[Array, " sizes"]  # of v(S) for a member, by the size of S
    weight_out: Float[Array, " sizes"]  # of v(S) for an outsider
    num_coalitions: int = eqx.field(static=True)

    def __init__(self, kinds: tuple[int, ...]):
        labels, kind = np.unique(np.asarray(kinds), return_inverse=True)
        members = np.bincount(kind, minlength=len(labels))
        radix = (members + 1).tolist()
        self.num_coalitions = math.prod(radix)
        self.kind = jnp.asarray(kind)
        before = [np.count_nonzero(kind[:i] == k) for i, k in enumerate(kind)]
        self.position = jnp.asarray(before)
        self.members = jnp.asarray(members)
        strides = [math.prod(radix[:k]) for k in range(len(radix))]
        self.stride = jnp.asarray(strides)
        counts = range(int(members.max()) + 1)
        ways = [[math.comb(int(m), c) for c in counts] for m in members]
        self.ways = jnp.asarray(ways, float)
        n = len(kinds)
        self.weight_in = jnp.asarray([_weight(n, s - 1) for s in range(n + 1)])
        self.weight_out = jnp.asarray([_weight(n, s) for s in range(n + 1)])

    def chunks(self) -> Iterator[Int[np.ndarray, " chunk"]]:
        """All numbers, in chunks of one length filled up with -1.

        Within a block the smallest coalitions come first: those of a chunk advance in
        lockstep, and take about as many steps where they are about as large.
        """
        radix = (np.asarray(self.members) + 1).tolist()
        size = np.zeros(1, np.int16)
        for base in radix:
            if len(size) * base > _BLOCK:
                break
            size = np.add.outer(np.arange(base, dtype=np.int16), size).ravel()
        block = len(size)
        order = np.argsort(size, kind="stable")
        chunk = min(_CHUNK, self.num_coalitions)
        for start in range(0, self.num_coalitions, block):
            for first in range(0, block, chunk):
                index = start + order[first : first + chunk]
                yield np.pad(index, (0, chunk - len(index)), constant_values=-1)

    def counts(self, index: Int[Array, " chunk"]) -> Int[Array, "chunk kinds"]:
        """How many of each kind take part."""
        quotient = index[:, None] // self.stride[None, :]
        return quotient % (self.members[None, :] + 1)

    def coalitions(self, counts: Int[Array, "chunk kinds"]) -> Bool[Array, "chunk players"]:
        """One coalition for each row of counts: the first members of each kind."""
        return self.position[None, :] < counts[:, self.kind]

    def weights(self, counts: Int[Array, "chunk kinds"]) -> Float[Array, "chunk kinds"]:
        """Factor of v(S) in the Shapley value of a player of each kind.

        Summed over the coalitions that the row of counts stands for.
        """
        real = self.ways.dtype
        rows = jnp.arange(self.ways.shape[0])
        ways = jnp.prod(self.ways[rows[None, :], counts], axis=1)
        size = jnp.sum(counts, axis=1)
        share_in = counts.astype(real) / self.members.astype(real)[None, :]
        joined = share_in * self.weight_in[size][:, None]
        absent = (1 - share_in) * self.weight_out[size][:, None]
        return ways[:, None] * (joined - absent)


def _weight(num_players: int, others: int) -> float:
    """Chance that exactly these `others` come before a player in a random order."""
    if not 0 <= others < num_players:
        return 0.0
    return float(Fraction(1, num_players * math.comb(num_players - 1, others)))


@eqx.filter_jit
def _chunk_shares(
    game: AbstractGame, lattice: Lattice, index: Int[Array, " chunk"]
) -> Emissions:
    """What the coalitions of these numbers add to the share of each kind."""
    inside = index >= 0
    counts = lattice.counts(jnp.where(inside, index, 0))
    weights = jnp.where(inside[:, None], lattice.weights(counts), 0.0)
    values = jax.vmap(game.components)(lattice.coalitions(counts))
    return jax.tree.map(lambda v: weights.T @ v, values)
