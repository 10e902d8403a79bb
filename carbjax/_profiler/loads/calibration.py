"""Loads of known nature: memory alone, cache alone, launches alone."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._profiler.loads.load import Load, Normal, Tree
from carbjax._profiler.point import BYTES

_CALLS_IN_A_ROW = 16


def hbm_read(num_bytes: int) -> Load:
    array = Normal((num_bytes // BYTES,))
    return Load(_sum_of_shifted, Normal((1,)), array, Normal((1,)))


def hbm_copy(num_bytes: int) -> Load:
    """Half of the bytes are read, half are written."""
    array = Normal((num_bytes // (2 * BYTES),))
    return Load(_shifted, Normal((1,)), array, array)


def l2_read(num_bytes: int) -> Load:
    array = Normal((num_bytes // BYTES,))
    return Load(_sum, array, (), Normal((1,)), _CALLS_IN_A_ROW, shifts=True)


def tiny(num_bytes: int) -> Load:
    array = Normal((num_bytes // (2 * BYTES),))
    return Load(_next, array, (), array, _CALLS_IN_A_ROW, shifts=True)


def _shifted(
    x: Float[Array, " 1"], array: Float[Array, " n"], _: Float[Array, " n"]
) -> Float[Array, " n"]:
    return array + x


def _sum_of_shifted(
    x: Float[Array, " 1"], array: Float[Array, " n"], _: Float[Array, " 1"]
) -> Float[Array, " 1"]:
    # Shifted, since a sum that does not depend on the loop would leave the loop.
    return jnp.sum(array + x, keepdims=True)


def _sum(x: Float[Array, " n"], _: Tree, __: Float[Array, " 1"]) -> Float[Array, " 1"]:
    return jnp.sum(x, keepdims=True)


def _next(x: Float[Array, " n"], _: Tree, __: Float[Array, " n"]) -> Float[Array, " n"]:
    return x + 1
