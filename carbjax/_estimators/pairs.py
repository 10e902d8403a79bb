"""Distinct pairs of complementary coalitions, drawn size by size.

A pair is written as its coalition of at most n/2 players; of two halves, the one with
player 0. All draws are nested: more pairs are the same ones and others.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

_MOST_SHUFFLED = 20_000  # pairs of a size that are numbered and shuffled; beyond, drawn

_HALVINGS = 80
_GOLDEN = (5**0.5 - 1) / 2


class Pairs(NamedTuple):
    """Sampled pairs, those of one size next to each other."""

    coalitions: Bool[np.ndarray, "pairs players"]
    size: Int[np.ndarray, " pairs"]
    rank: Int[np.ndarray, " pairs"]  # in the order in which the size's were drawn


def sizes_of(num_players: int) -> range:
    """The sizes of pairs: 1 to n/2."""
    return range(1, num_players // 2 + 1)


def num_pairs(num_players: int, size: int) -> int:
    """How many pairs of this size there are."""
    number = math.comb(num_players, size)
    return number // 2 if 2 * size == num_players else number


def allot(
    num_players: int, total: int, wanted: Float[np.ndarray, " sizes"]
) -> Int[np.ndarray, " sizes"]:
    """Pairs of each size: in proportion to `wanted`, no more than there are.

    What a size does not need goes to the others, and a larger total takes away none.
    """
    most = [num_pairs(num_players, size) for size in sizes_of(num_players)]
    capacity = np.array([min(number, total) for number in most])
    if capacity.sum() <= total:
        return capacity
    # Webster's rule, the k-th pair of a size at wanted / (k - 1/2): it is nested.
    low, high = 0.0, 4.0 * wanted.max()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = _above(middle, wanted, capacity).sum() > total
        low, high = (middle, high) if enough else (low, middle)
    counts = _above(high, wanted, capacity)
    open_ = np.flatnonzero(counts < capacity)
    # Of equal claims, those spread over all sizes come first.
    spread = np.argsort((open_ + 1) * _GOLDEN % 1.0)
    claim = (wanted / (counts + 0.5))[open_[spread]]
    order = np.argsort(-np.round(claim / high, 9), kind="stable")
    counts[open_[spread][order[: total - counts.sum()]]] += 1
    return counts


def _above(
    level: float, wanted: Float[np.ndarray, " sizes"], capacity: Int[np.ndarray, " sizes"]
) -> Int[np.ndarray, " sizes"]:
    """How many pairs of each size have a claim above the level."""
    claims = np.minimum(wanted / max(level, np.finfo(float).tiny) + 0.5, capacity)
    return np.floor(claims).astype(int)


def draw_pairs(
    num_players: int, counts: Int[np.ndarray, " sizes"], rng: np.random.Generator
) -> Pairs:
    """So many distinct pairs of each size, all of a size equally likely."""
    streams = rng.spawn(len(counts))
    rows = [
        _draw_size(num_players, size, int(count), stream)
        for size, count, stream in zip(sizes_of(num_players), counts, streams, strict=True)
    ]
    return Pairs(
        np.concatenate([np.zeros((0, num_players), bool), *rows]),
        np.repeat(np.array(sizes_of(num_players), int), counts),
        np.concatenate([np.zeros(0, int), *map(np.arange, counts)]),
    )


def _draw_size(
    num_players: int, size: int, count: int, rng: np.random.Generator
) -> Bool[np.ndarray, "count players"]:
    number = num_pairs(num_players, size)
    if number <= _MOST_SHUFFLED:
        return _numbered(rng.permutation(number)[:count], num_players, size)
    found: dict[bytes, Bool[np.ndarray, " players"]] = {}
    while len(found) < count:
        row = np.zeros(num_players, bool)
        row[rng.permutation(num_players)[:size]] = True
        if 2 * size == num_players and not row[0]:
            row = ~row
        found.setdefault(row.tobytes(), row)
    return np.array(list(found.values()), bool).reshape(count, num_players)


def _numbered(
    number: Int[np.ndarray, " count"], num_players: int, size: int
) -> Bool[np.ndarray, "count players"]:
    """The coalitions of a size by their numbers, those with player 0 first.

    In the order of `itertools.combinations`. Counted from the last one, a number is a sum
    of binomial coefficients, one a member (the combinatorial number system).
    """
    rows = np.zeros((len(number), num_players), bool)
    left = math.comb(num_players, size) - 1 - number
    for members in range(size, 0, -1):
        ways = np.array([math.comb(others, members) for others in range(num_players)])
        others = np.searchsorted(ways, left, side="right") - 1
        rows[np.arange(len(rows)), num_players - 1 - others] = True
        left -= ways[others]
    return rows
