"""Time of an iteration beside its profiled kernels: host, gaps, sampler."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Host(eqx.Module):
    """Scheduling, batch building, detokenising: `base + per_sequence num_sequences`.

    An engine that schedules one iteration ahead does that while the GPU computes. Then
    (`overlaps`) an iteration waits only for what the host takes beyond the kernels, and
    `(kernels^4 + host^4)^(1/4)` is its length: a smooth maximum of the two.
    """

    base: float  # s
    per_sequence: float  # s
    power: float  # W, one GPU
    overlaps: bool = eqx.field(static=True, default=False)

    def latency(
        self, num_sequences: Float[Array, "*batch"], kernels: Float[Array, "*batch"]
    ) -> Float[Array, "*batch"]:
        """Seconds that an iteration waits for the host, beside seconds of `kernels`."""
        host = self.base + self.per_sequence * num_sequences
        if not self.overlaps:
            return host
        # together^4 - kernels^4 = host^4, without the difference of two large numbers.
        together = jnp.sqrt(jnp.sqrt(kernels**4 + host**4))
        return host**4 / ((together + kernels) * (together**2 + kernels**2))


class Gaps(eqx.Module):
    """Gaps and small kernels between the profiled ones: `per_layer num_layers`."""

    per_layer: float  # s
    power: float  # W, one GPU


class Sampler(eqx.Module):
    """Choosing tokens from logits, on the GPU: `per_logit vocab_size num_sequences`."""

    per_logit: float  # s
    power: float  # W, one GPU
