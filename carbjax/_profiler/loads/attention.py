"""Attention of a prefill chunk, and of decode requests, on contiguous caches."""

import functools as ft
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Float

from carbjax._profiler.loads.load import Load, Normal, Tree, spread
from carbjax._profiler.shape import LayerShape

Implementation = Literal["cudnn", "xla"]


def prefill(
    shape: LayerShape, chunk: int, cached: int, implementation: Implementation
) -> Load:
    """A chunk of one prompt over itself, causally, and over what is cached of it."""
    queries = Normal((1, chunk, shape.num_heads, shape.head_dim))
    new, old = (_cache(shape, 1, tokens) for tokens in (chunk, cached))
    if not cached:
        call = ft.partial(_whole_prompt, implementation=implementation)
        return spread(Load(call, queries, new, queries))
    call = ft.partial(_later_chunk, implementation=implementation)
    return spread(Load(call, queries, (new, old), queries))


def decode(
    shape: LayerShape, contexts: tuple[int, ...], implementation: Implementation
) -> Load:
    """One query a request over its context; uneven contexts are padded and masked."""
    queries = Normal((len(contexts), 1, shape.num_heads, shape.head_dim))
    cache = _cache(shape, len(contexts), max(contexts))
    if len(set(contexts)) == 1:
        call = ft.partial(_even, implementation=implementation)
        return spread(Load(call, queries, cache, queries))
    lengths = np.asarray(contexts, dtype=np.int32)
    call = ft.partial(_uneven, implementation=implementation)
    return spread(Load(call, queries, (cache, lengths), queries))


def attend_to_prompt(
    queries: Float[Array, "1 chunk heads width"],
    keys: Float[Array, "1 chunk kv_heads width"],
    values: Float[Array, "1 chunk kv_heads width"],
    implementation: Implementation,
) -> Float[Array, "1 chunk heads width"]:
    """Causal attention of a prompt over itself."""
    return _attention(queries, keys, values, is_causal=True, implementation=implementation)


def attend_to_cache(
    queries: Float[Array, "batch 1 heads width"],
    keys: Float[Array, "batch context kv_heads width"],
    values: Float[Array, "batch context kv_heads width"],
    implementation: Implementation,
) -> Float[Array, "batch 1 heads width"]:
    """Attention of one query a request over the whole of its context."""
    return _attention(queries, keys, values, implementation=implementation)


def _attention(q: Array, k: Array, v: Array, **settings: Any) -> Any:
    # JAX's own function does not keep its own strict rules, if a user asks for them.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return jax.nn.dot_product_attention(q, k, v, **settings)


def _cache(shape: LayerShape, batch: int, tokens: int) -> tuple[Normal, Normal]:
    """Keys and values."""
    one = Normal((batch, tokens, shape.num_kv_heads, shape.head_dim))
    return one, one


def _whole_prompt(q: Array, cache: Tree, _: Array, implementation: Implementation) -> Array:
    return attend_to_prompt(q, *cache, implementation=implementation)


def _even(q: Array, cache: Tree, _: Array, implementation: Implementation) -> Array:
    return attend_to_cache(q, *cache, implementation=implementation)


def _uneven(q: Array, operands: Tree, _: Array, implementation: Implementation) -> Array:
    (keys, values), lengths = operands
    return _attention(
        q, keys, values, key_value_seq_lengths=lengths, implementation=implementation
    )


def _later_chunk(
    q: Array, operands: Tree, _: Array, implementation: Implementation
) -> Array:
    # JAX aligns a causal mask with the first key, not with the last: the cached part,
    # which needs no mask, is a call of its own, and log-sum-exps join the two.
    new, old = operands
    attend = ft.partial(_attention, return_residual=True, implementation=implementation)
    return _joined(attend(q, *new, is_causal=True), attend(q, *old))


def _joined(one: tuple[Array, Array], other: tuple[Array, Array]) -> Array:
    """Attention over two sets of keys, from (output, log-sum-exp) over each."""
    share = jax.nn.sigmoid(one[1] - other[1])[..., None].astype(one[0].dtype)
    return share * one[0] + (1 - share) * other[0]
