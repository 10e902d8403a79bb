"""Logs of a real server, joined into the schedule that it ran."""

import dataclasses
import datetime as dt
import os

import numpy as np

from carbjax._attribution.recorded_counts import rows_of_counts
from carbjax._attribution.recorded_schedule import (
    DecodeRuns,
    PromptChunks,
    RecordedSchedule,
)
from carbjax._attribution.recorded_tokens import rows_of_tokens
from carbjax._errors import TraceError
from carbjax._traces.iteration_log import IterationLog, read_iteration_log
from carbjax._traces.read import read_trace_report
from carbjax._traces.scheduled import ScheduledTokens
from carbjax._traces.stamps import time_zone
from carbjax._traces.tenants import Tenant
from carbjax._workload import Workload

_EARLY_S = 1e-3  # two clocks of one machine, read one after the other
_EARLY_LOG_S = 1.0  # whole seconds


@dataclasses.dataclass(frozen=True)
class RecordedLog:
    """A schedule, and the requests in the same order, with their names."""

    schedule: RecordedSchedule
    requests: Workload
    notes: tuple[str, ...]


def read_recorded(
    requests: str | os.PathLike[str],
    iterations: str | os.PathLike[str],
    *,
    unix_minus_clock_s: float | None = None,
    format: str | None = None,
    tz: str | None = None,
    tenant: Tenant | None = None,
    rejects: str | os.PathLike[str] | None = None,
    request_id: str | None = None,
) -> RecordedLog:
    """What a server did, from the log of its requests and the log of its iterations.

    **Arguments:**

    - `requests`: any trace that `read_trace` reads, with `format`, `tz`, `tenant`,
      `rejects` and `request_id` as there. The requests must have the names that the log
      of iterations gives them, such as the column `gen_ai.request.id` of spans.
    - `iterations`: JSON lines of scheduled tokens, or vLLM's log with
      `--enable-logging-iteration-details` (docs/traces.md). vLLM's log does not name
      requests: who took part follows from first come, first served, and every count that
      was logged must come out.
    - `unix_minus_clock_s`: Unix time less the clock of the iterations, where that is
      monotonic and the log has no `clock` line.

    Iterations on a monotonic clock and requests with calendar time are not joined unless
    one of these ties the clocks. The schedule's `epoch` is known where the requests' is,
    or the iterations'.

    Raises `TraceError` or `WorkloadError`, naming the request or the line that does not
    fit: a request without iterations, tokens that do not add up, an iteration before its
    request came.
    """
    workload, report = read_trace_report(requests, format, tz, tenant, rejects, request_id)
    log = read_iteration_log(iterations, time_zone(tz, TraceError), workload.epoch)
    offset = _offset(log, workload, unix_minus_clock_s)
    schedule = _joined(log, workload, offset)
    if offset is not None and workload.epoch is not None:
        _require_causal(log, schedule, workload)
    return RecordedLog(schedule, workload, (*report.notes, *log.notes))


def _joined(
    log: IterationLog, workload: Workload, offset: float | None
) -> RecordedSchedule:
    """The schedule of the log's iterations, in which the requests took part."""
    epoch, zero = _epoch(log, workload, offset)
    if isinstance(log.took_part, ScheduledTokens):
        chunks, runs, cached = rows_of_tokens(log, log.took_part, workload)
    else:
        chunks, runs = rows_of_counts(log, log.took_part, workload)
        cached = np.zeros(workload.num_requests, np.int64)
    return RecordedSchedule(
        log.start_s - zero,
        log.duration_s,
        workload.num_prefill_tokens,
        workload.num_decode_tokens,
        player=workload.player,
        energy_j=log.energy_j,
        num_cached_tokens=cached,
        chunks=PromptChunks(*chunks),
        runs=DecodeRuns(*runs),
        epoch=epoch,
    )


def _offset(log: IterationLog, workload: Workload, given: float | None) -> float | None:
    """Unix seconds less the log's clock; None where neither has a calendar."""
    known = log.unix_minus_clock_s
    if given is not None and known is not None and abs(given - known) > 1.0:
        raise TraceError(
            f"`unix_minus_clock_s` is {given}, and by the log it is {known}.",
            file=log.file,
            hint="Leave it out, or remove the log's `clock` lines.",
        )
    offset = known if given is None else given
    if offset is None and workload.epoch is not None:
        raise TraceError(
            "the iterations are on a monotonic clock, the requests in calendar time, and "
            "nothing ties the two.",
            file=log.file,
            hint="Log a `clock` line, or give unix_minus_clock_s=; for vLLM's log, tz=.",
        )
    return offset


def _epoch(
    log: IterationLog, workload: Workload, offset: float | None
) -> tuple[dt.datetime | None, float]:
    """The schedule's epoch, and what it is on the clock of the log."""
    if offset is None:
        return None, 0.0
    if workload.epoch is not None:
        return workload.epoch, workload.epoch.timestamp() - offset
    second = np.floor(log.start_s[0] + offset)
    return dt.datetime.fromtimestamp(float(second), dt.UTC), float(second - offset)


def _require_causal(
    log: IterationLog, schedule: RecordedSchedule, workload: Workload
) -> None:
    allowed = _EARLY_S if isinstance(log.took_part, ScheduledTokens) else _EARLY_LOG_S
    early_s = workload.arrival_s - schedule.workload.arrival_s
    early_s[workload.is_null] = 0
    if early_s.max() > allowed:
        i = int(early_s.argmax())
        name = str(i) if workload.request_ids is None else workload.request_ids[i]
        raise TraceError(
            f"request {name!r} is in an iteration {early_s[i]:.3g} s before it came: the "
            "clocks of the two logs differ.",
            file=log.file,
            hint="Check unix_minus_clock_s= and tz=.",
        )
