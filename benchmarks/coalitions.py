"""Coalitions a second: the vectorised engine against a per-iteration simulator.

Both serve the same requests with the same full operator surrogate, in one run. The
simulator is the plain Python loop that judges the engine in the tests; its cost function
is compiled. Run from the root of the repository:

    python -m benchmarks.coalitions [--largest 20] [--trace TRACE --tz ZONE]
"""

import argparse
import dataclasses
import os
import pathlib
import resource
import time
import typing

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

jax.config.update("jax_enable_x64", True)

import carbjax as cj  # noqa: E402
from tests.reference.simulator import Caps, Policy, Request, simulate  # noqa: E402

_SIZES = (8, 12, 16, 20)
_SIMULATED = 24  # coalitions that the simulator serves, drawn at random


@dataclasses.dataclass(frozen=True)
class Row:
    num_players: int
    seconds: float  # of exact Shapley, compiled before
    coalitions_per_s: float
    simulator_per_s: float
    peak_mib: float


def measure(workload: cj.Workload, system: cj.System) -> Row:
    """One row: exact Shapley of all requests, and the simulator on some coalitions."""
    game = cj.ServingGame(workload, system)
    jax.block_until_ready(cj.shapley(game))
    start = time.perf_counter()
    jax.block_until_ready(cj.shapley(game))
    seconds = time.perf_counter() - start
    return Row(
        num_players=workload.num_players,
        seconds=seconds,
        coalitions_per_s=2**workload.num_players / seconds,
        simulator_per_s=_simulator_rate(workload, system),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _simulator_rate(workload: cj.Workload, system: cj.System) -> float:
    cost = _compiled_cost(system)
    caps = Caps(
        system.max_num_seqs, system.max_num_batched_tokens, system.kv_capacity_tokens
    )
    columns = (
        workload.arrival_s,
        workload.num_prefill_tokens,
        workload.num_decode_tokens,
    )
    requests = [Request(float(t), int(p), int(d)) for t, p, d in zip(*columns, strict=True)]
    members = np.random.default_rng(0).random((_SIMULATED, len(requests))) < 0.5
    members[~members.any(axis=1), 0] = True
    policy = typing.cast(Policy, system.policy)
    start = time.perf_counter()
    for chosen in members:
        coalition = [r for r, here in zip(requests, chosen, strict=True) if here]
        simulate(coalition, policy, caps, cost)
    return _SIMULATED / (time.perf_counter() - start)


def _compiled_cost(system: cj.System):
    @eqx.filter_jit
    def compiled(values):
        return jnp.stack(system.iteration_cost(cj.BatchFeatures(*values)))

    def cost(features) -> tuple[float, float]:
        latency, energy = np.asarray(compiled(np.asarray(features, np.float64))).tolist()
        return latency, energy

    cost((1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0))
    return cost


def show(rows: list[Row]) -> None:
    table = Table(title="Exact Shapley of the reschedule game, full operator surrogate")
    for name in (
        "players",
        "seconds",
        "coalitions/s",
        "simulator/s",
        "ratio",
        "peak memory, MiB",
    ):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            str(row.num_players),
            f"{row.seconds:.2f}",
            f"{row.coalitions_per_s:,.0f}",
            f"{row.simulator_per_s:.1f}",
            f"{row.coalitions_per_s / row.simulator_per_s:,.0f}",
            f"{row.peak_mib:,.0f}",
        )
    Console().print(table)


def main() -> None:
    data = pathlib.Path(os.environ.get("CARBJAX_DATA", "../shared/data"))
    trace = data / "azure_llm_2023/AzureLLMInferenceTrace_conv.csv"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trace", default=str(trace))
    parser.add_argument("--tz", default="UTC")
    parser.add_argument("--largest", type=int, default=_SIZES[-1])
    arguments = parser.parse_args()
    workload = cj.read_trace(arguments.trace, tz=arguments.tz)
    system = cj.System.load("h200-sxm", "llama-3.1-8b")
    sizes = [size for size in _SIZES if size <= arguments.largest]
    show([measure(workload.select(slice(0, size)), system) for size in sizes])


if __name__ == "__main__":
    main()
