"""Fits of kernels that move bytes, and how they are carried to GPUs not profiled."""

import pathlib

import jax.numpy as jnp
import numpy as np

from carbjax._fitting import rtx_profile
from carbjax._fitting.fit import GpuFacts, Rows
from carbjax._fitting.least_squares import least_squares
from carbjax._profiles.profile import Profile
from carbjax._surrogate.streaming import Streaming

KERNELS = ("rotary_embedding", "norm", "gate")  # by growing bytes a token, Llama-3.1-8B

_NEAR_SHARE = 0.5  # of the L2 that a call's bytes may fill
_FAR_SHARE = 0.75  # of the peak bandwidth beyond it
_NEAR_BANDWIDTH = {  # bytes/s; A100 and H100 from vidur's `add`, B200 by processors
    "a100-sxm": 2.4e12,
    "h100-sxm": 4.8e12,
    "h200-sxm": 4.8e12,
    "b200-sxm": 5.4e12,
}


def kernels(data: pathlib.Path) -> dict[str, Profile]:
    """Rows of the RTX PRO 6000's fused kernels, by name."""
    rows = rtx_profile.elementwise(data)
    per_token = np.round(rows.message_bytes / rows.num_tokens)
    widths = np.unique(per_token)
    return {
        name: rows.select(per_token == width)
        for name, width in zip(KERNELS, widths, strict=True)
    }


def fit_elementwise(profile: Profile, gpu: GpuFacts, train: Rows) -> Streaming:
    """One launch and two bandwidths, inside and beyond the L2, for all kernels."""
    moved, measured = jnp.asarray(profile.message_bytes), np.log(profile.latency_s)
    byte = 1 / gpu.memory_bandwidth
    near = _NEAR_SHARE * gpu.l2_bytes if gpu.l2_bytes > 0 else 3e7
    found = least_squares(
        lambda p: jnp.log(Streaming(*jnp.exp(p)).latency(moved)) - measured,
        np.log([2e-6, 0.4 * byte, 0.8 * byte, near]),
        weights=train.astype(float),
        prior_scale=np.array([2.0, 1.0, 1.0, 1.0]),
    )
    return Streaming(*(float(v) for v in np.exp(found.parameters)))


def carried_elementwise(gpu: GpuFacts, data: pathlib.Path) -> Streaming:
    """Elementwise kernels of any GPU: the RTX PRO 6000's own fit, elsewhere its launch.

    Elsewhere half the L2 is read at the rate of the L2, as measured for unfused additions
    on A100 and H100, what is beyond at three quarters of the memory's.
    """
    rows = rtx_profile.elementwise(data)
    found = fit_elementwise(rows, rtx_profile.RTX, np.ones(len(rows), dtype=bool))
    if gpu.name == rtx_profile.RTX.name:
        return found
    far = 1 / (_FAR_SHARE * gpu.memory_bandwidth)
    near = 1 / _NEAR_BANDWIDTH[gpu.name] if gpu.name in _NEAR_BANDWIDTH else far
    near = min(near, far)
    return Streaming(found.launch, near, far - near, _NEAR_SHARE * gpu.l2_bytes)
