"""Small workloads cut from a long trace."""

import numpy as np

import carbjax as cj


def first_request(trace: cj.Workload, cut: int, size: int, seed: int) -> int:
    """A random place for the cut, the same whatever the number of cuts."""
    last = trace.num_requests - size
    return int(np.random.default_rng((seed, cut)).integers(last + 1))


def compress(workload: cj.Workload, factor: float) -> cj.Workload:
    """The same requests, each its own player, arriving `factor` times as fast."""
    arrival_s = (workload.arrival_s - workload.start_s) / factor
    return cj.Workload(arrival_s, workload.num_prefill_tokens, workload.num_decode_tokens)
