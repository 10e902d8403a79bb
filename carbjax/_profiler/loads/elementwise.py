"""Norm, activation, rotary embedding, residual and cache write."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from carbjax._profiler.loads.load import DTYPE, Load, Normal, Tree, spread
from carbjax._profiler.shape import LayerShape

_EPSILON = 1e-5
_ROTARY_BASE = 5e5


def norm(shape: LayerShape, rows: int) -> Load:
    hidden = Normal((rows, shape.hidden_size))
    return spread(Load(_norm, hidden, Normal((shape.hidden_size,)), hidden, shifts=True))


def silu_mul(shape: LayerShape, rows: int) -> Load:
    both = Normal((rows, 2 * shape.intermediate_size))
    once = Normal((rows, shape.intermediate_size))
    return spread(Load(_silu_mul, both, (), once, shifts=True))


def rope(shape: LayerShape, rows: int) -> Load:
    heads = Normal((rows, shape.num_heads + shape.num_kv_heads, shape.head_dim))
    angles = rotary_table(rows, shape.head_dim)
    return spread(Load(_rope, heads, angles, heads, shifts=True))


def residual_add(shape: LayerShape, rows: int) -> Load:
    hidden = Normal((rows, shape.hidden_size))
    return spread(Load(_add, hidden, hidden, hidden, shifts=True))


def kv_save(shape: LayerShape, rows: int) -> Load:
    """New keys and values into scattered slots of a cache twice as large."""
    new = Normal((rows, 2, shape.num_kv_heads, shape.head_dim))
    slots = np.random.default_rng(0).permutation(2 * rows)[:rows].astype(np.int32)
    cache = Normal((2 * rows, *new.shape[1:]))
    return spread(Load(_save, new, slots, cache))


def root_mean_square_norm(
    x: Float[Array, "rows hidden"], gain: Float[Array, " hidden"]
) -> Float[Array, "rows hidden"]:
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(wide**2, axis=-1, keepdims=True) + _EPSILON)
    return (wide * scale).astype(DTYPE) * gain[None]


def gated(x: Float[Array, "rows twice"]) -> Float[Array, "rows once"]:
    gate, up = jnp.split(x, 2, axis=-1)
    return jax.nn.silu(gate) * up


def rotated(
    x: Float[Array, "rows heads width"], angles: Float[np.ndarray | Array, "2 rows half"]
) -> Float[Array, "rows heads width"]:
    cos, sin = (angle[:, None].astype(DTYPE) for angle in angles)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate(
        (first * cos - second * sin, second * cos + first * sin), axis=-1
    )


def rotary_table(rows: int, width: int) -> Float[np.ndarray, "2 rows half"]:
    """Cosines and sines of rotary position embedding (arXiv 2104.09864)."""
    rates = _ROTARY_BASE ** (-np.arange(0, width, 2) / width)
    angles = np.arange(rows)[:, None] * rates
    return np.stack((np.cos(angles), np.sin(angles))).astype(np.float32)


def saved(
    cache: Float[Array, "slots 2 kv_heads width"],
    new: Float[Array, "rows 2 kv_heads width"],
    slots: Int[Array, " rows"],
) -> Float[Array, "slots 2 kv_heads width"]:
    return cache.at[slots].set(new, unique_indices=True, mode="promise_in_bounds")


def _norm(x: Array, gain: Array, _: Array) -> Array:
    return root_mean_square_norm(x, gain)


def _silu_mul(x: Array, _: Tree, __: Array) -> Array:
    return gated(x)


def _rope(x: Array, angles: Array, _: Array) -> Array:
    return rotated(x, angles)


def _add(x: Array, other: Array, _: Array) -> Array:
    return x + other


def _save(x: Array, slots: Array, cache: Array) -> Array:
    return saved(cache, x, slots)
