"""What a trace format is: names of columns, and a reader of arrivals."""

import dataclasses
from collections.abc import Callable
from zoneinfo import ZoneInfo

import numpy as np
from jaxtyping import Int

from carbjax._traces.columns import Table
from carbjax._traces.rejects import Quarantine
from carbjax._traces.source import Source

LATEST_RELATIVE_S = 1e8  # three years; what is beyond is a calendar or another unit
# Around the present, a Unix time is this many seconds; it tells the unit of a number.
_UNIX_S = (1e8, 1e10)
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}


@dataclasses.dataclass(frozen=True)
class Arrivals:
    """When requests came: nanoseconds since 1970 UTC, or since an unknown start."""

    nanoseconds: Int[np.ndarray, " requests"]
    has_calendar: bool


@dataclasses.dataclass(frozen=True)
class Documents:
    """How requests nested in JSON documents become a table."""

    is_known_by: frozenset[str]  # names in a document, one of which is enough
    table: Callable[[Source, Quarantine | None], Table]


@dataclasses.dataclass(frozen=True)
class TraceFormat:
    """One format. To add another, write one in its own file and list it in `FORMATS`.

    `ignored` columns are known, may be absent, and play no part: each is noted in the
    report with the reason given here. `checked` ones may be absent, and are looked at by
    `check`, which refuses bad rows of the table and returns notes.
    """

    name: str
    arrival: str
    num_prefill_tokens: str
    num_decode_tokens: str
    read_arrivals: Callable[[Table, str, ZoneInfo | None], Arrivals]
    request_id: str | None = None
    tenant: str | None = None
    ignored: dict[str, str] = dataclasses.field(default_factory=dict)
    checked: tuple[str, ...] = ()
    check: Callable[[Table], tuple[str, ...]] | None = None
    has_other_columns: bool = False  # of which nothing is known
    documents: Documents | None = None

    def with_request_id(self, column: str) -> "TraceFormat":
        """The same format, requests named by this column."""
        before = () if self.request_id in (None, column) else (self.request_id,)
        checked = (*self.checked, *before)
        return dataclasses.replace(self, request_id=column, checked=checked)

    @property
    def required(self) -> tuple[str, ...]:
        return self.arrival, self.num_prefill_tokens, self.num_decode_tokens

    @property
    def optional(self) -> tuple[str, ...]:
        labels = (name for name in (self.request_id, self.tenant) if name is not None)
        return *labels, *self.checked, *self.ignored


def from_start(table: Table, column: str, seconds: np.ndarray) -> Arrivals:
    """Arrivals given in seconds from an unknown start, none of them negative."""
    for bad, problem, hint in (
        (seconds < 0, "is before the start", "Count from the first arrival."),
        (
            seconds > LATEST_RELATIVE_S,
            "is years after the start: a Unix time, or another unit",
            "Write ISO 8601 time stamps, or count from the first arrival.",
        ),
    ):

        def describe(index: int, problem: str = problem) -> str:
            guess = unix_unit(float(seconds[index])) or ""
            return f"{table.shown(column, index)} {problem}{guess and f' ({guess})'}."

        table.refuse(bad, column, describe, hint)
    known = np.where(np.abs(seconds) <= LATEST_RELATIVE_S, seconds, 0.0)
    return Arrivals(np.rint(known * 1e9).astype(np.int64), has_calendar=False)


def unix_unit(number: float) -> str | None:
    """The unit in which a number would be a Unix time of our days."""
    low, high = _UNIX_S
    for name, per_second in _UNITS.items():
        if low <= number / per_second < high:
            return f"in {name}?"
    return None
