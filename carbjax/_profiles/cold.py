"""Do calls read their weights and contexts from memory, as those of a server do?"""

import dataclasses as dc

import numpy as np
from jaxtyping import Bool

from carbjax._profiles.profile import Profile


@dc.dataclass(frozen=True)
class Device:
    """Datasheet numbers of a GPU."""

    name: str  # as it stands in the names that drivers give
    l2_bytes: float
    memory_bandwidth: float  # bytes/s
    peak_flops: float  # FLOP/s, dense bf16


_MORE_THAN_AN_L2 = 3e8  # bytes
_FASTEST_MEMORY = 9e12  # bytes/s
_SHOWN_BY = 0.05
# L2: NVIDIA's architecture papers. Rates: the shipped accelerators.
DEVICES = (
    Device("A100", 40e6, 2.039e12, 312e12),
    Device("H100", 50e6, 3.35e12, 989e12),
    Device("H200", 50e6, 4.8e12, 989e12),
    Device("B200", 126e6, 7.7e12, 2250e12),
)


def weights_stay_in_l2(profile: Profile) -> Profile:
    """The GEMMs with `weight` 0 where a repeated call finds its weights in the L2.

    A profiler repeats a call on the same buffers, so weights that fit in the L2 are read
    from there; in a model other layers have pushed them out. Where FLOPs, not bytes, take
    the time it makes no difference, and the row counts. GPUs that are not known keep
    their weights.
    """
    warm = np.zeros(len(profile), dtype=bool)
    for device in DEVICES:
        warm |= (np.char.find(profile.device, device.name) >= 0) & _warm(profile, device)
    return dc.replace(profile, weight=np.where(warm, 0.0, profile.weight))


def contexts_are_shared(profile: Profile) -> Profile:
    """The decode calls with `weight` 0 if their requests cannot have read their own caches.

    Some profilers give all requests of a call the same blocks, which then stay in the L2.
    It shows where more than any L2 holds is read faster than any memory allows; if it is
    so in a twentieth of such calls, none of the file's decode calls counts.
    """
    large = profile.decode_bytes > _MORE_THAN_AN_L2
    fast = profile.decode_bytes > _FASTEST_MEMORY * profile.latency_s
    if not large.any() or fast[large].mean() < _SHOWN_BY:
        return profile
    return dc.replace(profile, weight=np.where(profile.decode_kv > 0, 0.0, profile.weight))


def _warm(profile: Profile, device: Device) -> Bool[np.ndarray, " rows"]:
    in_flops = profile.gemm_flops / device.peak_flops
    in_bytes = profile.gemm_bytes / device.memory_bandwidth
    return (profile.weight_bytes <= device.l2_bytes) & (in_flops <= in_bytes)
