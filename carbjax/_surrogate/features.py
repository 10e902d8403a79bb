"""What an iteration's cost depends on: sums over the requests in its batch."""

import equinox as eqx
import jax
from jaxtyping import Array, Float


class BatchFeatures(eqx.Module):
    """Additive features of the batch of one iteration (or of many: any leading shape).

    A decode request with context k adds 1 to `num_tokens`, `num_sequences` and
    `decode_tokens`, k to `decode_kv` and k^2 to `decode_kv_sq`. A prefill chunk of c
    tokens with x already cached adds c to `num_tokens`, 1 to `num_sequences` if it
    ends the prompt, c x + c (c + 1) / 2 to `prefill_pairs` and x + c to `prefill_kv`.

    Because the features add up, the batch of a coalition is the sum of its members'
    features, and the cost can be differentiated by what each member brings.
    """

    num_tokens: Float[Array, "*batch"]
    num_sequences: Float[Array, "*batch"]
    prefill_pairs: Float[Array, "*batch"]
    prefill_kv: Float[Array, "*batch"]
    decode_tokens: Float[Array, "*batch"]
    decode_kv: Float[Array, "*batch"]
    decode_kv_sq: Float[Array, "*batch"]

    def __add__(self, other: "BatchFeatures") -> "BatchFeatures":
        return jax.tree.map(lambda a, b: a + b, self, other)

    def scale(self, factor: Float[Array, "*batch"]) -> "BatchFeatures":
        """The features times `factor`: the ray from the empty batch to this one."""
        return jax.tree.map(lambda a: a * factor, self)
