"""A run of carbjax's own engine as a log of iterations."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._attribution.recorded_features import FEATURES, iterations_of
from carbjax._attribution.recorded_schedule import DecodeRuns, PromptChunks
from carbjax._attribution.recorded_tables import chunk_table, run_table
from carbjax._serving.serve import serve
from carbjax._serving.steps import Steps
from carbjax._serving.system import System
from carbjax._surrogate.cost import AbstractIterationCost
from carbjax._surrogate.features import BatchFeatures
from carbjax._workload import Workload

_CHUNK = 2**12  # iterations timed at once


def arguments_of_run(workload: Workload, system: System) -> dict[str, Any]:
    """Arguments of the `RecordedSchedule` of a run, every step taken apart."""
    timeline = serve(workload, system, steps=True)
    steps = timeline.steps
    assert steps is not None
    number = timeline.num_iterations
    long = np.asarray(steps.num_iterations).astype(np.int64)
    before = np.cumsum(long) - long
    chunks, runs = _chunks(steps, before), _runs(steps, before, long)
    nothing = np.zeros(workload.num_requests, np.int64)
    table = chunk_table(chunks, workload, nothing, number)
    found = iterations_of(table, run_table(runs, workload, table, number), number)
    duration_s = _latency({name: found.column(name) for name in FEATURES}, system)
    elapsed = np.cumsum(duration_s) - duration_s
    since = elapsed - np.repeat(elapsed[before], long)
    return dict(
        start_s=timeline.start_s + np.repeat(np.asarray(steps.start), long) + since,
        duration_s=duration_s,
        num_prefill_tokens=workload.num_prefill_tokens,
        num_decode_tokens=workload.num_decode_tokens,
        player=workload.player,
        chunks=chunks,
        runs=runs,
        epoch=workload.epoch,
    )


def _chunks(steps: Steps, before: np.ndarray) -> PromptChunks:
    step, request = np.nonzero(np.asarray(steps.batch.prefilling))
    return PromptChunks(before[step], request, np.asarray(steps.batch.chunk)[step, request])


def _runs(steps: Steps, before: np.ndarray, long: np.ndarray) -> DecodeRuns:
    """Steps in a row in which a request decodes are one run."""
    decoding = np.asarray(steps.batch.decoding).astype(np.int8).T
    change = np.diff(decoding, prepend=0, append=0, axis=1)
    (request, begin), (_, end) = np.nonzero(change == 1), np.nonzero(change == -1)
    return DecodeRuns(request, before[begin], (before + long)[end - 1] - 1)


def _latency(features: dict[str, np.ndarray], system: System) -> np.ndarray:
    """Modelled latency of each iteration, s."""
    number, parts = len(features["num_tokens"]), []
    for start in range(0, number, _CHUNK):
        now = {k: np.resize(x[start : start + _CHUNK], _CHUNK) for k, x in features.items()}
        batch = BatchFeatures(**{k: jnp.asarray(x, float) for k, x in now.items()})
        latency = np.asarray(_time(system.cost, batch), np.float64)
        parts.append(latency[: number - start])
    return np.concatenate(parts)


@eqx.filter_jit
def _time(cost: AbstractIterationCost, batch: BatchFeatures) -> Float[Array, " chunk"]:
    return cost(batch)[0]
