"""Logs of a server's iterations: which tokens of whom, or how many, and when.

Two kinds: JSON lines that name the requests (docs/traces.md has the few lines that make
vLLM write them), and vLLM's own log with `--enable-logging-iteration-details`, which
counts them.
"""

import dataclasses
import datetime as dt
import os
from zoneinfo import ZoneInfo

import numpy as np
from jaxtyping import Float, Int

from carbjax._errors import TraceError
from carbjax._traces.scheduled import ScheduledTokens, is_scheduled, read_scheduled
from carbjax._traces.source import open_source
from carbjax._traces.stamps import NANOSECONDS_PER_SECOND
from carbjax._traces.vllm_log import IterationCounts, is_vllm_log, read_vllm_log


@dataclasses.dataclass(frozen=True)
class IterationLog:
    """Iterations in order of time, none overlapping; the clock is `unix` or `monotonic`."""

    file: str
    start_s: Float[np.ndarray, " iterations"]
    duration_s: Float[np.ndarray, " iterations"]
    energy_j: Float[np.ndarray, " iterations"]  # NaN where not measured
    rows: Int[np.ndarray, " iterations"]  # lines of the file
    clock: str
    unix_minus_clock_s: float | None  # 0 for `unix`; None where nothing tells
    took_part: ScheduledTokens | IterationCounts
    notes: tuple[str, ...] = ()

    def fail(self, iteration: int, problem: str, hint: str | None = None) -> TraceError:
        """The error that names the file and the line of an iteration."""
        row = int(self.rows[iteration])
        return TraceError(problem, file=self.file, row=row, hint=hint)


def read_iteration_log(
    path: str | os.PathLike[str], zone: ZoneInfo | None, near: dt.datetime | None
) -> IterationLog:
    """The iterations of a log of either kind; `TraceError` where it cannot be used.

    `zone` is that of the stamps of vLLM's log, and an instant `near` tells their year: the
    log holds neither.
    """
    source = open_source(path, TraceError)
    if is_scheduled(source):
        found = read_scheduled(source)
        clock, offset = found.clock, found.unix_minus_clock_s
        start_s, end_s = found.start_s, found.end_s
        log = IterationLog(
            source.file,
            start_s,
            end_s - start_s,
            found.energy_j,
            found.rows,
            clock,
            offset,
            found.tokens,
            found.notes,
        )
    elif is_vllm_log(source):
        counts, duration_s, stamps = read_vllm_log(source, zone, near)
        known = stamps is not None and near is not None and zone is not None
        ends = _ends(duration_s, stamps)
        log = IterationLog(
            source.file,
            ends - duration_s,
            duration_s,
            np.full(len(ends), np.nan),
            counts.rows,
            "unix" if known else "monotonic",
            0.0 if known else None,
            counts,
            ("vLLM logs whole seconds: iterations are placed to a second.",),
        )
    else:
        raise source.fail(
            "this is no log of iterations that carbjax knows.",
            hint="Give vLLM's log with `--enable-logging-iteration-details`, or the JSON "
            "lines of docs/traces.md.",
        )
    _require_order(log)
    return log


def _ends(duration_s: np.ndarray, stamps: np.ndarray | None) -> np.ndarray:
    """The earliest ends, each not before its stamp, iterations one after the other."""
    if stamps is None:
        return np.cumsum(duration_s)
    # end_j = max over k <= j of stamp_k + the durations after k.
    after = np.cumsum(duration_s)
    first = stamps[0]
    relative = (stamps - first) / NANOSECONDS_PER_SECOND
    ends = np.maximum.accumulate(relative - after) + after
    return ends + first / NANOSECONDS_PER_SECOND


def _require_order(log: IterationLog) -> None:
    gap_s = log.start_s[1:] - (log.start_s + log.duration_s)[:-1]
    for j in np.flatnonzero(gap_s < -1e-6)[:1] + 1:
        raise log.fail(
            j,
            f"the iteration starts {-gap_s[j - 1]:.3g} s before the one above it ends.",
            "Give the lines in order of time, of one engine.",
        )
