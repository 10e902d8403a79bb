"""The seven additive features of a batch, one request at a time."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Features(NamedTuple):
    """What one request, or a whole batch, brings to an iteration."""

    num_tokens: Any
    num_sequences: Any
    prefill_pairs: Any
    prefill_kv: Any
    decode_tokens: Any
    decode_kv: Any
    decode_kv_sq: Any


CostFn = Callable[[Features], tuple[Any, Any]]
"""Features to latency (s) and energy (J), elementwise over numpy arrays."""

NOTHING = Features(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def decode_features(num_kv_tokens: int) -> Features:
    """One decode token that reads `num_kv_tokens` cached ones."""
    k = float(num_kv_tokens)
    return Features(1.0, 1.0, 0.0, 0.0, 1.0, k, k * k)


def prefill_features(chunk: int, cached: int, ends_prompt: bool) -> Features:
    """A chunk of a prompt of which `cached` tokens were read before."""
    c, x = float(chunk), float(cached)
    pairs = c * x + c * (c + 1.0) / 2.0
    return Features(c, 1.0 if ends_prompt else 0.0, pairs, x + c, 0.0, 0.0, 0.0)


def total(parts: Iterable[Features]) -> Features:
    """The features of a batch: the sum over its requests."""
    sums = [0.0] * 7
    for part in parts:
        for m in range(7):
            sums[m] += part[m]
    return Features(*sums)
