"""Sums over runs of iterations of a price times a context that grows by one."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class DecodePrices(NamedTuple):
    """What a decode of context k pays in an iteration: `constant + kv k + kv_sq k^2`."""

    constant: Float[np.ndarray, " iterations"]
    kv: Float[np.ndarray, " iterations"]
    kv_sq: Float[np.ndarray, " iterations"]


class _Blocks(NamedTuple):
    """Of each block of iterations the sums of prices times powers of the place in it."""

    constant: np.ndarray
    kv: np.ndarray
    kv_place: np.ndarray
    kv_sq: np.ndarray
    kv_sq_place: np.ndarray
    kv_sq_place_sq: np.ndarray


def sum_over_runs(
    prices: DecodePrices,
    first: Int[np.ndarray, " runs"],
    length: Int[np.ndarray, " runs"],
    context: Int[np.ndarray, " runs"],
) -> Float[np.ndarray, " runs"]:
    """`sum over i < length of c_j + a_j (k + i) + q_j (k + i)^2`, j = first + i.

    A run is cut into blocks of 1, 2, 4, ... iterations, at most two of a size, whose
    sums are there already. Differences of sums over all iterations from the first one,
    which would do in one step, lose with squares nine digits after a million iterations.
    Cost: O(iterations + runs log(longest run)).
    """
    sums = np.zeros(len(first))
    low, high = first.astype(np.int64), (first + length).astype(np.int64)
    shift = (context - first).astype(np.float64)
    width, blocks = 1, _single(prices)
    while True:
        open_ = low < high
        if not open_.any():
            return sums
        for end, step in ((low, 1), (high, -1)):
            runs = np.flatnonzero(open_ & (end % 2 == 1))
            place = end[runs] if step == 1 else end[runs] - 1
            sums[runs] += _of_block(blocks, place, shift[runs] + place * width)
            end[runs] += step
        low, high = low // 2, high // 2
        blocks, width = _pairs(blocks, width), 2 * width


def _single(prices: DecodePrices) -> _Blocks:
    none = np.zeros_like(prices.constant)
    return _Blocks(prices.constant, prices.kv, none, prices.kv_sq, none, none)


def _of_block(
    blocks: _Blocks, place: Int[np.ndarray, " runs"], context: Float[np.ndarray, " runs"]
) -> Float[np.ndarray, " runs"]:
    """Sum over the block at `place`, at whose beginning the context is `context`."""
    b = _Blocks(*(x[place] for x in blocks))
    linear = b.constant + context * b.kv + b.kv_place
    return linear + context * (context * b.kv_sq + 2 * b.kv_sq_place) + b.kv_sq_place_sq


def _pairs(blocks: _Blocks, width: int) -> _Blocks:
    """Blocks twice as wide."""
    odd = len(blocks.constant) % 2
    even = _Blocks(*(np.pad(x, (0, odd)) for x in blocks))
    a, b = (_Blocks(*(x[start::2] for x in even)) for start in (0, 1))
    return _Blocks(
        constant=a.constant + b.constant,
        kv=a.kv + b.kv,
        kv_place=a.kv_place + b.kv_place + width * b.kv,
        kv_sq=a.kv_sq + b.kv_sq,
        kv_sq_place=a.kv_sq_place + b.kv_sq_place + width * b.kv_sq,
        kv_sq_place_sq=a.kv_sq_place_sq
        + b.kv_sq_place_sq
        + 2 * width * b.kv_sq_place
        + float(width) ** 2 * b.kv_sq,
    )
