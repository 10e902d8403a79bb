"""Coalitions up to the exchange of interchangeable players, numbered."""

import math
from collections.abc import Iterator

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from carbjax._serving.buckets import power_of_two

AnyArray = Array | np.ndarray

_BLOCK = 2**20  # coalitions that are put in order of size at once


class Lattice(eqx.Module):
    """Coalitions up to the exchange of players of one kind, as numbers.

    The digits of a coalition's number say how many of each kind take part. Methods take
    arrays of jax, and of numpy where the lattice is one of numpy arrays (`on_host`).
    """

    kind: Int[Array, " players"]
    position: Int[Array, " players"]  # among the players of the same kind
    members: Int[Array, " kinds"]
    stride: Int[Array, " kinds"]
    ways: Float[Array, "kinds counts"]  # coalitions of a kind's members by their number

    def __init__(self, kinds: tuple[int, ...], *, room: int | None = None):
        """With `room` the arrays are filled up to so many players and kinds.

        The additional players are of a kind without members, so that they are in no
        coalition.
        """
        labels, kind = np.unique(np.asarray(kinds), return_inverse=True)
        members = np.bincount(kind, minlength=len(labels))
        radix = (members + 1).tolist()
        before = [np.count_nonzero(kind[:i] == k) for i, k in enumerate(kind)]
        strides = [math.prod(radix[:k]) for k in range(len(radix))]
        counts = range(int(members.max()) + 1)
        ways = [[math.comb(int(m), c) for c in counts] for m in members]
        more_players = 0 if room is None else room - len(kind)
        more_kinds = 0 if room is None else room - len(members)
        more_counts = 0 if room is None else power_of_two(len(counts), least=2)
        more_counts = max(more_counts - len(counts), 0)
        nobody = len(members) + more_kinds - 1
        self.kind = _filled(kind, (0, more_players), nobody)
        self.position = _filled(before, (0, more_players), 0)
        self.members = _filled(members, (0, more_kinds), 0)
        self.stride = _filled(strides, (0, more_kinds), 1)
        ways = np.array(ways, float)
        self.ways = _filled(ways, ((0, more_kinds), (0, more_counts)), 1.0)

    @property
    def num_coalitions(self) -> int:
        return math.prod((np.asarray(self.members) + 1).tolist())

    def on_host(self) -> "Lattice":
        """The same of numpy arrays: for many small lattices nothing is compiled."""
        return jax.tree.map(np.asarray, self)

    @property
    def num_players(self) -> int:
        return len(self.kind)

    def chunks(self, length: int) -> Iterator[Int[np.ndarray, " chunk"]]:
        """All numbers, in chunks of this length filled up with -1.

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
        for start in range(0, self.num_coalitions, block):
            for first in range(0, block, length):
                index = start + order[first : first + length]
                yield np.pad(index, (0, length - len(index)), constant_values=-1)

    def counts(self, index: Int[AnyArray, " chunk"]) -> Int[AnyArray, "chunk kinds"]:
        """How many of each kind take part."""
        quotient = index[:, None] // self.stride[None, :]
        return quotient % (self.members[None, :] + 1)

    def coalitions(
        self, counts: Int[AnyArray, "chunk kinds"]
    ) -> Bool[AnyArray, "chunk players"]:
        """One coalition for each row of counts: the first members of each kind."""
        return self.position[None, :] < counts[:, self.kind]

    def number_of(self, counts: Int[AnyArray, "chunk kinds"]) -> Float[AnyArray, " chunk"]:
        """How many coalitions each row of counts stands for."""
        rows = np.arange(self.ways.shape[0])
        return self.ways[rows[None, :], counts].prod(axis=1)

    def part_with(
        self, counts: Int[AnyArray, "chunk kinds"]
    ) -> Float[AnyArray, "chunk kinds"]:
        """The part of them that has a given player of each kind."""
        real = self.ways.dtype
        return counts.astype(real) / self.members.clip(min=1).astype(real)[None, :]


def _filled(values: ArrayLike, extra, value: float) -> Array:
    # `jnp.asarray` compiles for each shape.
    return jax.device_put(np.pad(np.asarray(values), extra, constant_values=value))
