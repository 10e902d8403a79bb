"""The peer of the engine: plain Python, one loop, one call of the cost an iteration.

It is the simulator that judges the engine in the tests, with the same surrogate,
compiled.
"""

import time
import typing

import equinox as eqx
import jax.numpy as jnp
import numpy as np

import carbjax as cj
from tests.reference.simulator import Caps, Policy, Request, simulate


class Simulator:
    """Serves requests of a workload one iteration at a time."""

    def __init__(self, workload: cj.Workload, system: cj.System):
        self._cost = _compiled_cost(system)
        self._policy: Policy = typing.cast(Policy, system.policy)
        self._caps = Caps(
            system.max_num_seqs, system.max_num_batched_tokens, system.kv_capacity_tokens
        )
        columns = (
            workload.arrival_s,
            workload.num_prefill_tokens,
            workload.num_decode_tokens,
        )
        rows = zip(*columns, strict=True)
        self._requests = [Request(float(t), int(p), int(d)) for t, p, d in rows]

    def coalitions_per_s(self, count: int) -> float:
        """Of coalitions drawn at random, each request in every second one."""
        size = len(self._requests)
        members = np.random.default_rng(0).random((count, size)) < 0.5
        members[~members.any(axis=1), 0] = True
        start = time.perf_counter()
        for chosen in members:
            pairs = zip(self._requests, chosen, strict=True)
            self._serve([request for request, here in pairs if here])
        return count / (time.perf_counter() - start)

    def requests_per_s(self) -> float:
        """Of serving them all, without attributing anything."""
        start = time.perf_counter()
        self._serve(self._requests)
        return len(self._requests) / (time.perf_counter() - start)

    def _serve(self, requests: list[Request]) -> None:
        simulate(requests, self._policy, self._caps, self._cost)


def _compiled_cost(system: cj.System):
    @eqx.filter_jit
    def compiled(values):
        return jnp.stack(system.iteration_cost(cj.BatchFeatures(*values)))

    def cost(features) -> tuple[float, float]:
        latency, energy = np.asarray(compiled(np.asarray(features, float))).tolist()
        return latency, energy

    cost((1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0))
    return cost
