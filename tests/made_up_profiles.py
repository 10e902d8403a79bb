"""Made-up profiles of a GPU whose operators are known formulas."""

import numpy as np

from carbjax._profiles.profile import Profile, concatenate

BASE = "h200-sxm"
_HEADS = {"num_heads": 32.0, "num_kv_heads": 8.0, "head_dim": 128.0}
_SHAPES = ((4096, 4096), (6144, 4096), (28672, 4096), (4096, 14336), (8192, 8192))


def gemm_s(m, n, k):
    """Seconds of a product: weights at 4 TB/s, FLOPs at 700 TFLOP/s, and a launch."""
    moved = 2.0 * m * (n + k) / 8e12
    return 3e-6 + moved + np.hypot(2.0 * n * k / 4e12, 2.0 * m * n * k / 7e14)


def prefill_s(new, old):
    """Seconds of a layer's attention of one prompt."""
    flops = 4.0 * 32 * 128 * (new * old + new * (new + 1) / 2)
    return 9e-6 + flops / 6e14 + 4.0 * 8 * 128 * (new + old) / 3e12


def decode_s(requests, context):
    """Seconds of a layer's attention of requests of equal context."""
    return 8e-6 + 2e-8 * requests + 4.0 * 8 * 128 * requests * context / 3.5e12


def gemms(noise: float = 0.02, seed: int = 0) -> Profile:
    tokens, shape = _grid(2.0 ** np.arange(14), np.arange(len(_SHAPES)))
    n, k = np.array(_SHAPES, float)[shape.astype(int)].T
    latency = _noisy(gemm_s(tokens, n, k), noise, seed)
    return Profile.of("gemm", latency, num_tokens=tokens, n=n, k=k, source="made up")


def prefills(noise: float = 0.02, seed: int = 1) -> Profile:
    new, old = _grid(2.0 ** np.arange(6, 14), [0.0, 1024.0, 4096.0])
    return Profile.of(
        "prefill_attention",
        _noisy(prefill_s(new, old), noise, seed),
        num_tokens=new,
        prefill_pairs=new * old + new * (new + 1) / 2,
        prefill_kv=new + old,
        source="made up",
        **_HEADS,
    )


def decodes(noise: float = 0.02, seed: int = 2) -> Profile:
    requests, context = _grid(2.0 ** np.arange(9), 2.0 ** np.arange(6, 15))
    return Profile.of(
        "decode_attention",
        _noisy(decode_s(requests, context), noise, seed),
        num_tokens=requests,
        decode_tokens=requests,
        decode_kv=requests * context,
        source="made up",
        **_HEADS,
    )


def whole(noise: float = 0.02) -> Profile:
    return concatenate(gemms(noise), prefills(noise), decodes(noise))


def _noisy(latency_s, noise: float, seed: int):
    return latency_s * np.exp(
        noise * np.random.default_rng(seed).normal(size=len(latency_s))
    )


def _grid(*axes) -> list[np.ndarray]:
    return [grid.reshape(-1) for grid in np.meshgrid(*axes)]
