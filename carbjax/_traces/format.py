"""What a trace format is: names of columns, and a reader of arrivals."""

import dataclasses
from collections.abc import Callable
from zoneinfo import ZoneInfo

import numpy as np
from jaxtyping import Int

from carbjax._traces.table import Table

LATEST_RELATIVE_S = 1e8  # three years; what is beyond is a calendar or another unit


@dataclasses.dataclass(frozen=True)
class Arrivals:
    """When requests came: nanoseconds since 1970 UTC, or since an unknown start."""

    nanoseconds: Int[np.ndarray, " requests"]
    has_calendar: bool


@dataclasses.dataclass(frozen=True)
class TraceFormat:
    """One format. To add another, write one in its own file and list it in `FORMATS`.

    `ignored` columns are known, may be absent, and play no part: each is noted in the
    report with the reason given here.
    """

    name: str
    arrival: str
    num_prefill_tokens: str
    num_decode_tokens: str
    read_arrivals: Callable[[Table, str, ZoneInfo | None], Arrivals]
    request_id: str | None = None
    tenant: str | None = None
    ignored: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def required(self) -> tuple[str, ...]:
        return self.arrival, self.num_prefill_tokens, self.num_decode_tokens

    @property
    def optional(self) -> tuple[str, ...]:
        labels = (name for name in (self.request_id, self.tenant) if name is not None)
        return *labels, *self.ignored


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
        if bad.any():
            index = int(np.flatnonzero(bad)[0])
            shown = table.shown(column, index)
            raise table.fail(f"{shown} {problem}.", index, column, hint=hint)
    return Arrivals(np.rint(seconds * 1e9).astype(np.int64), has_calendar=False)
