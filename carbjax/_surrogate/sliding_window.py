"""What a layer with a sliding window sees of a batch: its attention's additive features."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

_USUAL_CHUNK = 256.0  # tokens; servers cut prompts into chunks of this size or more


class AttentionFeatures(NamedTuple):
    """The features of a batch that attention depends on, `"*batch"` each."""

    prefill_tokens: Float[Array, "*batch"]
    prefill_pairs: Float[Array, "*batch"]
    prefill_kv: Float[Array, "*batch"]
    decode_tokens: Float[Array, "*batch"]
    decode_kv: Float[Array, "*batch"]


def windowed(
    prefill_tokens: Float[Array, "*batch"],
    prefill_pairs: Float[Array, "*batch"],
    prefill_kv: Float[Array, "*batch"],
    decode_tokens: Float[Array, "*batch"],
    decode_kv: Float[Array, "*batch"],
    window: float,
) -> AttentionFeatures:
    """The features of the same batch for a layer that sees the last `window` tokens.

    Sums over requests do not tell long contexts from short ones. Of decode requests,
    those of the same mean context are taken as spread around it: they read
    `(K^-4 + (window B)^-4)^(-1/4)` of K `decode_kv`, B `decode_tokens`. Chunks are taken as
    equal, of c new tokens after x cached ones, which P `prefill_tokens`, A
    `prefill_pairs` and R `prefill_kv` give, up to half a token:

        c = A / (R - P/2),   x = c (R/P - 1),   P / c of them.

    The token at s sees min(s, window), integrated from x to x + c. Of the cached tokens
    the chunks read one window for every 256 new tokens: too little where chunks are
    smaller, too much where they are larger. With c of the formula it would be exact for
    equal chunks, but fall as `prefill_pairs` rises.

    Of degree 1, increasing in each feature, never above what goes in, and equal to it
    where contexts are far below the window. Arithmetic and square roots only.
    """
    some = (prefill_tokens > 0) & (prefill_pairs > 0)
    chunk, cached, count = _even_chunks(prefill_tokens, prefill_pairs, prefill_kv, some)
    first = jnp.minimum(cached, window)
    inside = jnp.minimum(cached + chunk, window) - first
    pairs = inside * (first + 0.5 * inside) + window * (chunk - inside)
    kept = _smaller(prefill_kv - prefill_tokens, window / _USUAL_CHUNK * prefill_tokens)
    return AttentionFeatures(
        prefill_tokens,
        jnp.where(some, count * pairs, prefill_pairs),
        jnp.where(some, jnp.minimum(prefill_kv, prefill_tokens) + kept, prefill_kv),
        decode_tokens,
        _smaller(decode_kv, window * decode_tokens),
    )


def _even_chunks(tokens, pairs, kv, some):
    """New tokens, cached tokens and number of equal chunks with these sums, if `some`."""
    tokens, pairs, kv = (jnp.where(some, value, 1.0) for value in (tokens, pairs, kv))
    kv = jnp.maximum(kv, tokens)  # every new token is read
    chunk = pairs / (kv - 0.5 * tokens)
    return chunk, chunk * (kv - tokens) / tokens, tokens / chunk


def _smaller(a, b):
    """`(a^-4 + b^-4)^(-1/4)`, and 0 where either is.

    Softer than `smooth_min`: contexts differ, so some are cut before their mean is.
    """
    some = (a > 0) & (b > 0)
    a, b = jnp.where(some, a, 1.0), jnp.where(some, b, 1.0)
    less, more = jnp.minimum(a, b), jnp.maximum(a, b)
    ratio = less / more  # at most 1: no overflow
    ratio = ratio * ratio
    return jnp.where(some, less / jnp.sqrt(jnp.sqrt(1.0 + ratio * ratio)), 0.0)
