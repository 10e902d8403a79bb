"""What a call has to do, and how long that can take on the GPUs in use."""

import numpy as np

from carbjax._profiles.profile import Floats, Profile

# A GPU in the middle of those in use; others are within a factor of ten of it.
_FLOPS_PER_S = 3e14
_BYTES_PER_S = 2e12
_LINK_BYTES_PER_S = 1e11
_CALL_S = 5e-6
# No GPU is faster: above the dense peaks, and the caches, of all in use.
_MOST_FLOPS_PER_S = 3e15  # in 16 bits
_MOST_BYTES_PER_S = 2.5e13
# Slow kernels: one request's cache read by one multiprocessor; wide heads one by one.
_ONE_PROCESSOR_BYTES_PER_S = 2e10
_WIDE_HEAD = 256
_WIDE_HEAD_REQUEST_S = 5e-6


def flops(profile: Profile) -> Floats:
    """Floating-point operations of each call."""
    routed = profile.num_tokens * profile.experts_per_token / _expert_parallel(profile)
    return (
        profile.gemm_flops * (profile.operator == "gemm")
        + profile.prefill_flops
        + profile.decode_flops
        + 6.0 * routed * profile.hidden_size * profile.intermediate_size
    )


def bytes_moved(profile: Profile) -> Floats:
    """Bytes that each call reads and writes in memory; of an all-reduce its message."""
    routed = profile.num_tokens * profile.experts_per_token
    experts = np.minimum(profile.num_experts, routed) / _expert_parallel(profile)
    expert_bytes = 3.0 * profile.bytes_per_weight * profile.hidden_size
    return (
        profile.gemm_bytes * (profile.operator == "gemm")
        + profile.prefill_bytes
        + profile.decode_bytes
        + profile.message_bytes
        + experts * expert_bytes * profile.intermediate_size
    )


def usual_latency(profile: Profile) -> Floats:
    """Seconds on a GPU in the middle: 5 µs, FLOPs at 300 TFLOP/s, bytes at 2 TB/s.

    Messages between GPUs go at 100 GB/s.
    """
    bandwidth = np.where(profile.operator == "all_reduce", _LINK_BYTES_PER_S, _BYTES_PER_S)
    return _CALL_S + flops(profile) / _FLOPS_PER_S + bytes_moved(profile) / bandwidth


def slow_latency(profile: Profile) -> Floats:
    """Seconds where a kernel uses the GPU badly: attention without split contexts or
    with wide heads, and mixtures whose experts are all on one GPU.
    """
    requests = np.maximum(profile.decode_tokens, 1.0)
    per_token = 2.0 * profile.bytes_per_kv_element * profile.head_dim
    context = profile.decode_kv / requests * per_token / _ONE_PROCESSOR_BYTES_PER_S
    wide = (profile.head_dim > _WIDE_HEAD) * _WIDE_HEAD_REQUEST_S * profile.num_tokens
    return usual_latency(profile) * _expert_parallel(profile) + context + wide


def least_latency(profile: Profile) -> Floats:
    """Seconds that no GPU can undercut, 0 for an all-reduce."""
    narrow = np.where(profile.bytes_per_weight > 0, profile.bytes_per_weight / 2.0, 1.0)
    compute = flops(profile) * narrow / _MOST_FLOPS_PER_S
    memory = bytes_moved(profile) / _MOST_BYTES_PER_S
    local = profile.operator != "all_reduce"
    return np.where(local, np.maximum(compute, memory), 0.0)


def _expert_parallel(profile: Profile) -> Floats:
    return np.maximum(profile.expert_parallel, 1.0)
