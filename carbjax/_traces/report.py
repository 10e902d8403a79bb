"""What a trace holds and what a reader of its results must know."""

import dataclasses
import datetime as dt
import os

import numpy as np
from jaxtyping import Int

from carbjax._traces.columns import Table
from carbjax._traces.format import TraceFormat
from carbjax._workload import Workload

NO_CALENDAR = (
    "Arrivals have no calendar: the carbon intensity must be a constant, or the epoch "
    "given (`--epoch`, or epoch= of `Workload` in Python)."
)
_LISTED_ROWS = 5
_RARE_S = 60.0  # between requests; a server is not kept for that


@dataclasses.dataclass(frozen=True)
class TokenSummary:
    """Tokens of a trace's prompts, or of its answers."""

    minimum: int
    mean: float
    maximum: int
    total: int

    @classmethod
    def of(cls, counts: Int[np.ndarray, " requests"]) -> "TokenSummary":
        return cls(
            int(counts.min()), float(counts.mean()), int(counts.max()), int(counts.sum())
        )


@dataclasses.dataclass(frozen=True)
class TraceReport:
    """A summary of a trace; of rows that were set aside only their number."""

    file: str
    format: str
    num_requests: int
    num_tenants: int | None  # None where the trace names no tenants
    epoch: dt.datetime | None  # UTC; None where the trace has no calendar
    span_s: float  # first to last arrival
    num_prefill_tokens: TokenSummary
    num_decode_tokens: TokenSummary
    notes: tuple[str, ...]
    num_rejected: int = 0  # rows of the file that are not among the requests

    def with_rejects(self, number: int, path: str | os.PathLike[str]) -> "TraceReport":
        """The same report, with a note of the rows that were set aside, if any."""
        if number == 0:
            return self
        note = f"{number} rows cannot be used and were left out; {path} says why."
        return dataclasses.replace(self, num_rejected=number, notes=(note, *self.notes))


def report_on(
    table: Table,
    form: TraceFormat,
    workload: Workload,
    has_tenants: bool,
    notes: tuple[str, ...] = (),
) -> TraceReport:
    """The report of a workload read from `table`; `notes` are its format's."""
    return TraceReport(
        file=table.file,
        format=form.name,
        num_requests=workload.num_requests,
        num_tenants=workload.num_players if has_tenants else None,
        epoch=workload.epoch,
        span_s=float(np.ptp(workload.arrival_s)),
        num_prefill_tokens=TokenSummary.of(workload.num_prefill_tokens),
        num_decode_tokens=TokenSummary.of(workload.num_decode_tokens),
        notes=(
            *_arrival_notes(table, workload),
            *_empty_notes(table, workload),
            *notes,
            *(
                f"Column {name!r} is ignored: {reason}."
                for name, reason in form.ignored.items()
                if name in table.columns
            ),
        ),
    )


def _arrival_notes(table: Table, workload: Workload) -> list[str]:
    notes = []
    back = np.flatnonzero(np.diff(workload.arrival_s) < 0) + 1
    if len(back):
        notes.append(
            f"{len(back)} requests come before the one above them "
            f"({_rows(table, back)}): they are served in order of arrival."
        )
    notes += tie_notes(workload)
    if workload.epoch is None:
        notes += [NO_CALENDAR, *_unit_notes(workload.arrival_s)]
    return notes


def tie_notes(workload: Workload) -> list[str]:
    """A note of the requests that share their arrival with another, if any do."""
    _, counts = np.unique(workload.arrival_s, return_counts=True)
    shared = int(counts[counts > 1].sum())
    if not shared:
        return []
    return [
        f"{shared} requests share their arrival with another: those are served in the "
        "order of the file."
    ]


def _unit_notes(arrival_s: np.ndarray) -> list[str]:
    """What tells milliseconds that were taken for seconds."""
    mean_s = float(np.ptp(arrival_s)) / max(len(arrival_s) - 1, 1)
    if mean_s < _RARE_S or (arrival_s != np.floor(arrival_s)).any():
        return []
    return [
        f"Arrivals are whole seconds, {mean_s:.4g} s apart on average: are they "
        "milliseconds?"
    ]


def _empty_notes(table: Table, workload: Workload) -> list[str]:
    prompt, answer = workload.num_prefill_tokens, workload.num_decode_tokens
    kinds = (
        ("ask for nothing and are never scheduled", (prompt == 0) & (answer == 0)),
        ("have no prompt", (prompt == 0) & (answer > 0)),
        ("have no answer", (prompt > 0) & (answer == 0)),
    )
    found = [(what, np.flatnonzero(which)) for what, which in kinds]
    return [f"{len(i)} requests {what} ({_rows(table, i)})." for what, i in found if len(i)]


def _rows(table: Table, indices: np.ndarray) -> str:
    listed = ", ".join(str(table.row_of(int(i))) for i in indices[:_LISTED_ROWS])
    more = ", …" if len(indices) > _LISTED_ROWS else ""
    return f"row{'s' if len(indices) > 1 else ''} {listed}{more}"
