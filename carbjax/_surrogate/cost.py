"""The interface between the surrogate and everything that serves, plays or attributes."""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from carbjax._surrogate.features import BatchFeatures

Cost = tuple[Float[Array, "*batch"], Float[Array, "*batch"]]
"""Latency in s and energy in J. Energy is over all GPUs of the backend."""


class AbstractIterationCost(eqx.Module):
    """Latency and energy of one iteration as a smooth function of its batch.

    The cost is a sum of three separable parts, to which `limit` is applied. That makes
    attribution cheap: along a decode run of constant batch only the attention part
    changes, and along a ray from the empty batch what the first two parts add is known
    without a quadrature.

    All methods are elementwise over any leading shape, differentiable, finite and
    non-negative for all non-negative features, and use arithmetic only (they run under
    `vmap` inside a `while_loop`, billions of times).
    A part that is not in use costs nothing: attention is 0 where `prefill_pairs`,
    `prefill_kv`, `decode_tokens` and `decode_kv` are all 0, and within it the prefill
    (decode) kernels cost nothing, their launch included, where there is no prefill
    (decode). The launch cost of a kernel in use remains as features go to 0 from above.
    """

    @abc.abstractmethod
    def token_part(self, num_tokens: Float[Array, "*batch"]) -> Cost:
        """Everything that depends on `num_tokens` alone: GEMMs, norms, all-reduce."""

    @abc.abstractmethod
    def sequence_part(self, num_sequences: Float[Array, "*batch"]) -> Cost:
        """Everything that depends on `num_sequences` alone: LM head, host overhead."""

    @abc.abstractmethod
    def attention_part(
        self,
        num_tokens: Float[Array, "*batch"],
        prefill_pairs: Float[Array, "*batch"],
        prefill_kv: Float[Array, "*batch"],
        decode_tokens: Float[Array, "*batch"],
        decode_kv: Float[Array, "*batch"],
        decode_kv_sq: Float[Array, "*batch"],
    ) -> Cost:
        """Attention of prefill chunks and decode requests, and their interaction.

        `num_tokens` tells new tokens from cached ones. It counts the decode requests
        too, and not `num_tokens - decode_tokens`, so that the cost can be monotone in
        each feature alone.
        """

    @abc.abstractmethod
    def operator_costs(self, features: BatchFeatures) -> dict[str, Cost]:
        """Latency (s) and power (W, per GPU) of each operator over all layers."""

    def limit(
        self, latency: Float[Array, "*batch"], energy: Float[Array, "*batch"]
    ) -> Cost:
        """Latency (s) and energy (J) of an iteration, from the sums of its parts.

        As they are, unless the GPU holds its power below a limit. Non-decreasing in both
        arguments, and (0, 0) at 0.
        """
        return latency, energy

    def __call__(self, features: BatchFeatures) -> Cost:
        """Latency (s) and energy (J) of one iteration."""
        f = features
        parts = (
            self.token_part(f.num_tokens),
            self.sequence_part(f.num_sequences),
            self.attention_part(
                f.num_tokens,
                f.prefill_pairs,
                f.prefill_kv,
                f.decode_tokens,
                f.decode_kv,
                f.decode_kv_sq,
            ),
        )
        (t, e), *others = parts
        for latency, energy in others:
            t, e = t + latency, e + energy
        return self.limit(t, e)
