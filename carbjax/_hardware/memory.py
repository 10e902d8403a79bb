"""How many tokens of KV cache a backend can hold."""

import math

from carbjax._errors import ConfigError
from carbjax._hardware.accelerator import Accelerator
from carbjax._hardware.model import ModelShape


def kv_capacity_tokens(
    accelerator: Accelerator,
    model: ModelShape,
    tensor_parallel: int = 1,
    memory_fraction: float = 0.9,
) -> int:
    """Tokens of KV cache that fit beside the weights, on `tensor_parallel` GPUs together.

    Of each GPU's memory, `memory_fraction` (0 to 1) holds its share of the weights, and
    KV cache; the rest is left for activations. Key-value heads are spread over the GPUs,
    and copied where there are more GPUs than heads.

    Layers with a sliding window are counted as holding every token. A server that frees
    what has left the window (vLLM's hybrid cache manager) holds more requests longer
    than the window than this count admits: give a system its own `kv_capacity_tokens`.

    Raises `ConfigError` where heads do not divide or the weights do not fit.
    """
    if not 0 < memory_fraction <= 1:
        raise ConfigError(
            f"`memory_fraction` is {memory_fraction}.",
            hint="Give a number over 0, up to 1.",
        )
    if not _divides(model, tensor_parallel):
        choices = ", ".join(str(n) for n in _degrees(model))
        raise ConfigError(
            f"`tensor_parallel` is {tensor_parallel}, which cannot split the "
            f"{model.num_heads} query and {model.num_kv_heads} key-value heads of "
            f"{model.name}.",
            hint=f"Choose one of {choices}.",
        )
    tokens = _tokens(accelerator, model, tensor_parallel, memory_fraction)
    if tokens < 1:
        raise ConfigError(
            f"{model.name} with {model.weight_bytes / 1e9:.0f} GB of weights does not fit "
            f"{tensor_parallel} x {accelerator.name} with "
            f"{memory_fraction * accelerator.memory_bytes / 1e9:.0f} GB usable each.",
            hint=_way_out(accelerator, model, memory_fraction),
        )
    return tokens


def _tokens(
    accelerator: Accelerator, model: ModelShape, tensor_parallel: int, fraction: float
) -> int:
    weights = model.weight_bytes / tensor_parallel
    free = fraction * accelerator.memory_bytes - weights
    per_token = model.kv_bytes_per_token / min(tensor_parallel, model.num_kv_heads)
    return math.floor(free / per_token)


def _way_out(accelerator: Accelerator, model: ModelShape, fraction: float) -> str:
    for degree in _degrees(model):
        if _tokens(accelerator, model, degree, fraction) >= 1:
            return f"Use tensor_parallel={degree}."
    return "Use an accelerator with more memory, or fewer bytes per weight."


def _degrees(model: ModelShape) -> list[int]:
    return [n for n in range(1, model.num_heads + 1) if _divides(model, n)]


def _divides(model: ModelShape, degree: int) -> bool:
    if degree < 1 or degree != int(degree) or model.num_heads % degree:
        return False
    return model.num_kv_heads % degree == 0 or degree % model.num_kv_heads == 0
