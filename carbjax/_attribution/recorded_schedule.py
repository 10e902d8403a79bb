"""A log of the iterations that a server ran, and of the requests that took part."""

import copy
import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from carbjax._attribution.recorded_checks import (
    require_iterations,
    require_logged,
    require_spans,
)
from carbjax._attribution.recorded_features import Iterations, iterations_of
from carbjax._attribution.recorded_tables import (
    Chunks,
    Runs,
    chunk_table,
    run_table,
    whole_numbers,
    whole_prompts,
    without_gaps,
)
from carbjax._errors import WorkloadError
from carbjax._serving.system import System
from carbjax._workload import Workload


class PromptChunks(NamedTuple):
    """Prompt tokens by iteration and request: a row for each chunk, in any order.

    All `" chunks"`, whole numbers; `RecordedSchedule` raises where they do not fit.
    """

    iteration: ArrayLike
    request: ArrayLike
    tokens: ArrayLike


class DecodeRuns(NamedTuple):
    """Iterations from `first` to `last`, both included, in which a request decoded.

    All `" runs"`, whole numbers; `RecordedSchedule` raises where they do not fit.
    """

    request: ArrayLike
    first: ArrayLike
    last: ArrayLike


class RecordedSchedule:
    """What a real server did, by iteration and by request; iterations count from 0.

    **Iterations**, in order of time, none overlapping:

    - `start_s`, `duration_s`: wall time, s from `epoch`, `" iterations"`.
    - `energy_j`: measured energy of all GPUs, J, NaN where unknown. By default modelled.
    - `logged`: what the server says of its batches, `" iterations"` by name: any of the
      fields of `BatchFeatures`, or `num_requests`; NaN where unknown. They must be what
      the requests add up to.

    **Requests:**

    - `num_prefill_tokens`, `num_decode_tokens`, `player`: as in `Workload`.
    - `first_iteration`, `last_iteration`: with the first tokens of the prompt, and the
      last one of the answer; any number for a null player. May be left out where
      `chunks` and `runs` say it.
    - `num_cached_tokens`: of the prompt, found in the prefix cache and not read again.
    - `chunks`: `PromptChunks`. By default each prompt is read whole in the request's
      first iteration.
    - `runs`: `DecodeRuns` of all requests. By default a request decodes in each
      iteration after its prompt, up to its last one; with `runs` it may pause.

    The first token of an answer comes with the prompt, each later one takes an
    iteration. `epoch` is the UTC instant of second 0, needed for a series of intensity.

    Raises `WorkloadError` naming the request or the iteration that does not fit.
    """

    start_s: Float[np.ndarray, " iterations"]
    duration_s: Float[np.ndarray, " iterations"]
    energy_j: Float[np.ndarray, " iterations"]  # NaN where not measured
    workload: Workload  # arrivals unknown: when the first iteration began
    chunks: Chunks
    runs: Runs
    iterations: Iterations

    def __init__(
        self,
        start_s: ArrayLike,
        duration_s: ArrayLike,
        num_prefill_tokens: ArrayLike,
        num_decode_tokens: ArrayLike,
        first_iteration: ArrayLike | None = None,
        last_iteration: ArrayLike | None = None,
        player: ArrayLike | None = None,
        *,
        energy_j: ArrayLike | None = None,
        num_cached_tokens: ArrayLike | None = None,
        chunks: PromptChunks | None = None,
        runs: DecodeRuns | None = None,
        logged: Mapping[str, ArrayLike] | None = None,
        epoch: dt.datetime | None = None,
    ):
        self.start_s, self.duration_s = (
            np.array(x, np.float64) for x in (start_s, duration_s)
        )
        number = len(np.atleast_1d(self.start_s))
        unknown = np.full(number, np.nan)
        self.energy_j = unknown if energy_j is None else np.array(energy_j, np.float64)
        require_iterations(self.start_s, self.duration_s, self.energy_j)
        tokens = num_prefill_tokens, num_decode_tokens
        requests = Workload(np.zeros(np.shape(tokens[0])), *tokens, player, epoch)
        shape = requests.num_prefill_tokens.shape
        cached = _cached_tokens(num_cached_tokens, shape)
        first = _iterations("first_iteration", first_iteration, chunks, "chunks", shape)
        last = _iterations("last_iteration", last_iteration, runs, "runs", shape)
        rows = whole_prompts(requests, cached, first) if chunks is None else chunks
        self.chunks = chunk_table(rows, requests, cached, number)
        spans = without_gaps(requests, self.chunks, last) if runs is None else runs
        self.runs = run_table(spans, requests, self.chunks, number)
        began = require_spans(requests, self.chunks, self.runs, first, last)
        self.workload = Workload(self.start_s[began], *tokens, player, epoch)
        self.iterations = iterations_of(self.chunks, self.runs, number)
        require_logged(self.iterations, logged or {})

    @classmethod
    def of(cls, workload: Workload, system: System) -> "RecordedSchedule":
        """What the engine does with `workload` on `system`, iteration by iteration.

        Wall time is the modelled latency. Raises `WorkloadError` where the run has too
        many steps to record.
        """
        from carbjax._attribution.recorded_run import arguments_of_run

        return cls(**arguments_of_run(workload, system))

    def with_energy(self, energy_j: Float[np.ndarray, " iterations"]) -> "RecordedSchedule":
        """The same schedule with this energy of its iterations, J, NaN where unknown."""
        require_iterations(self.start_s, self.duration_s, energy_j)
        found = copy.copy(self)
        found.energy_j = energy_j
        return found

    @property
    def num_iterations(self) -> int:
        return len(self.start_s)

    @property
    def end_s(self) -> Float[np.ndarray, " iterations"]:
        return self.start_s + self.duration_s

    @property
    def finish_s(self) -> Float[np.ndarray, " requests"]:
        """When each request's last iteration ended; NaN for null players."""
        last = np.full(self.workload.num_requests, -1)
        np.maximum.at(last, self.chunks.request, self.chunks.iteration)
        np.maximum.at(last, self.runs.request, self.runs.last)
        return np.where(last < 0, np.nan, self.end_s[last])


def _cached_tokens(
    given: ArrayLike | None, shape: tuple[int, ...]
) -> Int[np.ndarray, " requests"]:
    """`num_cached_tokens`, 0 where it is left out."""
    if given is None:
        return np.zeros(shape, np.int64)
    return whole_numbers("num_cached_tokens", given, shape)


def _iterations(
    name: str,
    given: ArrayLike | None,
    table: object,
    table_name: str,
    shape: tuple[int, ...],
) -> Int[np.ndarray, " requests"] | None:
    """The column `name`, or None where it is left out and a table stands in."""
    if given is not None:
        return whole_numbers(name, given, shape)
    if table is None:
        raise WorkloadError(
            f"neither `{name}` nor `{table_name}` is given.",
            hint=f"Give `{name}`, one iteration for each request.",
        )
    return None
