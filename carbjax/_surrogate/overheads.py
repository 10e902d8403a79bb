"""Time of an iteration beside its profiled kernels: host, gaps, sampler."""

import equinox as eqx


class Host(eqx.Module):
    """Time of an iteration in which the GPU waits for the host.

    `base + per_sequence num_sequences`: scheduling, batch building, detokenising.
    """

    base: float  # s
    per_sequence: float  # s
    power: float  # W, one GPU


class Gaps(eqx.Module):
    """Gaps and small kernels between the profiled ones: `per_layer num_layers`."""

    per_layer: float  # s
    power: float  # W, one GPU


class Sampler(eqx.Module):
    """Choosing tokens from logits, on the GPU: `per_logit vocab_size num_sequences`."""

    per_logit: float  # s
    power: float  # W, one GPU
