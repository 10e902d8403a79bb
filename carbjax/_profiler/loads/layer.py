"""A whole decoder layer, which the compiler may fuse as it likes."""

import dataclasses as dc

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._profiler.loads.attention import (
    Implementation,
    attend_to_cache,
    attend_to_prompt,
)
from carbjax._profiler.loads.elementwise import (
    gated,
    root_mean_square_norm,
    rotary_table,
    rotated,
)
from carbjax._profiler.loads.load import Load, Normal, Tree, spread
from carbjax._profiler.shape import LayerShape


def layer(
    shape: LayerShape, chunk: int, contexts: tuple[int, ...], implementation: Implementation
) -> Load:
    """A chunk that begins a prompt, and decode requests of one context, together."""
    tokens = chunk + len(contexts)
    hidden = Normal((tokens, shape.hidden_size))
    weights = {name: Normal((k, n), k**-0.5) for name, (n, k) in shape.projections.items()}
    gains = {name: Normal((shape.hidden_size,)) for name in ("first", "second")}
    angles: np.ndarray = rotary_table(tokens, shape.head_dim)
    run = _Layer(shape, chunk, len(contexts), implementation)
    y = (hidden, _caches(shape, chunk, contexts))
    operands = {**weights, **gains, "angles": angles}
    return spread(Load(run, hidden, operands, y, shifts=True))


def _caches(
    shape: LayerShape, chunk: int, contexts: tuple[int, ...]
) -> tuple[tuple[Normal, Normal], ...]:
    """Keys and values of the chunk and of the decode requests, as far as there are any."""

    def pair(batch: int, tokens: int) -> tuple[Normal, Normal]:
        one = Normal((batch, tokens, shape.num_kv_heads, shape.head_dim))
        return one, one

    prompt = (pair(1, chunk),) if chunk else ()
    return (*prompt, pair(len(contexts), contexts[0])) if contexts else prompt


@dc.dataclass(frozen=True)
class _Layer:
    shape: LayerShape
    chunk: int
    num_decodes: int
    implementation: Implementation

    def __call__(
        self, x: Float[Array, "tokens hidden"], weights: Tree, y: Tree
    ) -> tuple[Float[Array, "tokens hidden"], Tree]:
        """The output, and the caches with the new keys and values in them."""
        normed = root_mean_square_norm(x, weights["first"])
        queries, keys, values = self._heads(jnp.matmul(normed, weights["qkv"]), weights)
        attended, caches = self._attention(queries, keys, values, y[1])
        x = x + jnp.matmul(attended, weights["o"])
        normed = root_mean_square_norm(x, weights["second"])
        inner = gated(jnp.matmul(normed, weights["gate_up"]))
        return x + jnp.matmul(inner, weights["down"]), caches

    def _heads(self, qkv: Array, weights: Tree) -> tuple[Array, Array, Array]:
        shape = self.shape
        heads = qkv.reshape(qkv.shape[0], -1, shape.head_dim)
        turning = shape.num_heads + shape.num_kv_heads
        turned = rotated(heads[:, :turning], weights["angles"])
        return (
            turned[:, : shape.num_heads],
            turned[:, shape.num_heads :],
            heads[:, turning:],
        )

    def _attention(
        self, queries: Array, keys: Array, values: Array, caches: Tree
    ) -> tuple[Array, Tree]:
        outputs, chunk = [], self.chunk
        new_caches = []
        if chunk:
            q, k, v = (array[None, :chunk] for array in (queries, keys, values))
            outputs.append(attend_to_prompt(q, k, v, self.implementation)[0])
            new_caches.append((k, v))
        if self.num_decodes:
            q = queries[chunk:, None]
            pair = tuple(
                cache.at[:, -1].set(new[chunk:])
                for cache, new in zip(caches[-1], (keys, values), strict=True)
            )
            outputs.append(
                attend_to_cache(q, *pair, implementation=self.implementation)[:, 0]
            )
            new_caches.append(pair)
        joined = jnp.concatenate(outputs)
        return joined.reshape(joined.shape[0], -1), tuple(new_caches)
