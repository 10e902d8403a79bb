"""Backends served and charged together, slice by slice: one task of a ledger."""

import dataclasses as dc
import datetime as dt
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from carbjax._carbon.intensity import Intensity, RelativeIntensity
from carbjax._errors import CarbjaxError
from carbjax._fleet.fleet import Arrivals, Fleet, Served
from carbjax._ledger.backends import Backend
from carbjax._ledger.checkpoint import Checkpoint, GroupStore
from carbjax._ledger.closing import RunningSum, require_closed
from carbjax._ledger.columns import REQUESTS
from carbjax._ledger.feed import Feed, first_arrival_s
from carbjax._ledger.inspection import Inspector, Sorted
from carbjax._ledger.repeats import find_repeats
from carbjax._ledger.request_rows import request_rows
from carbjax._ledger.rollups import MARKET, add_up
from carbjax._serving.system import System

_LANE_BITS = 40  # of a key: which request of a lane
CLOSED: tuple[str, ...] = ("energy_j", "operational_gco2e", "embodied_gco2e")
"""What must add up, and where the market's intensity is a series, `MARKET`."""
# What makes each up: of a request, and of a lane's iterations.
_CHARGED = {
    "energy_j": ("prefill_j", "decode_j"),
    "operational_gco2e": ("prefill_g", "decode_g"),
    "embodied_gco2e": ("embodied_g",),
    MARKET: ("market_g",),
}
_EMITTED = {
    "energy_j": "electricity_j",
    "operational_gco2e": "operational_g",
    "embodied_gco2e": "embodied_g",
    MARKET: "market_g",
}


@dc.dataclass(frozen=True)
class Group:
    """Backends of one model that are served together, and how."""

    number: int
    backends: tuple[Backend, ...]
    system: System
    model: str  # what the ledger calls it
    market: Intensity | None  # of the electricity that was bought
    slice_rows: int  # rows that each backend takes at once

    @property
    def market_series(self) -> Intensity | None:
        """The market's intensity, where it changes over time."""
        return None if self.market is None or self.market.is_constant else self.market

    @property
    def closed(self) -> tuple[str, ...]:
        """What must add up."""
        return CLOSED if self.market_series is None else (*CLOSED, MARKET)


@dc.dataclass(frozen=True)
class GroupResult:
    """What a group's requests were charged in all, and when its backends worked."""

    number: int
    num_requests: int
    num_rejected: int
    totals: dict[str, float]
    residual: dict[str, float]
    start_s: np.ndarray  # of the first request of each backend, on the arrivals' clock
    end_s: np.ndarray
    longest_prompt: int
    longest_context: int
    rollups: dict[str, pa.Table]


def run_group(
    group: Group, store: GroupStore, advance: Callable[[int], None]
) -> GroupResult:
    """The group's ledger, written to `store` slice by slice.

    Goes on from the last slice that the store holds. `advance` is told of
    each slice how many requests came. Raises `InputError` and `ClosureError`.
    """
    known = store.read()
    if known is not None and _has_ended(group, known):
        advance(int(known.taken.sum()))
        return _result(group, known)
    run = _Run(group, store, known)
    advance(int(run.at.taken.sum()))
    while not _has_ended(group, run.at):
        advance(run.next_slice())
    return _result(group, run.at)


class _Run:
    def __init__(self, group: Group, store: GroupStore, known: Checkpoint | None):
        self.group, self.store = group, store
        inspectors = [
            Inspector(backend, find_repeats(backend), group.system.kv_capacity_tokens)
            for backend in group.backends
        ]
        self.at = _beginning(group, inspectors) if known is None else known
        self.fleet = self._fleet()
        if known is not None:
            self.fleet.restore(known.fleet)
        self.feeds = [
            Feed(inspector, int(taken), group.slice_rows, float(last_s))
            for inspector, taken, last_s in zip(
                inspectors, self.at.taken, self.at.last_s, strict=True
            )
        ]

    def next_slice(self) -> int:
        """How many requests came in the slice, which is written."""
        at, lanes = self.at, range(len(self.feeds))
        sorted_out = [feed.take(self.group.slice_rows) for feed in self.feeds]
        came = [each.requests for each in sorted_out]
        rows = pa.concat_tables([at.waiting, *(self._numbered(i, came[i]) for i in lanes)])
        before = self.fleet.seated()
        arrivals = [self._arrivals(requests) for requests in came]
        served = self.fleet.serve(arrivals, [not feed.ended for feed in self.feeds])
        self._require_cover()
        self._close(served, before)
        done, waiting = _split(rows, served)
        written = request_rows(done, served, self.group, self._zero_s)
        self.store.write_part(at.num_slices, written)
        rejects = pa.concat_tables([each.rejects for each in sorted_out])
        self.store.write_rejects(at.num_slices, rejects)
        self._go_on(sorted_out, written, waiting)
        return sum(each.num_rows for each in sorted_out)

    @property
    def _zero_s(self) -> float:
        """Second 0 of the fleet, on the arrivals' clock: the first arrival of all."""
        return self.at.zero_s

    def _fleet(self) -> Fleet:
        group = self.group
        intensity, market = group.system.carbon_intensity, group.market_series
        if market is not None:
            intensity = intensity.split_at(market)
        return Fleet(
            group.system,
            self._relative(intensity),
            len(group.backends),
            num_rows=group.slice_rows,
            market=None if market is None else self._relative(market),
        )

    def _relative(self, series: Intensity) -> RelativeIntensity:
        """The series on the clock of the fleet."""
        return series.relative(None if series.is_constant else instant(self._zero_s))

    def _require_cover(self) -> None:
        if self.at.seated.sum() == 0 and not self.fleet.time_s.any():
            return  # nobody came
        end = self._zero_s + float(self.fleet.time_s.max())
        for series in (self.group.system.carbon_intensity, self.group.market_series):
            if series is not None and not series.is_constant:
                series.require_cover(instant(self._zero_s), instant(end))

    def _numbered(self, lane: int, came: pa.Table) -> pa.Table:
        """The requests with their lane and their key in the fleet."""
        count = came.num_rows
        is_null = _is_null(came)
        served_as = self.at.seated[lane] + np.cumsum(~is_null) - 1
        key = np.where(is_null, -1, (lane << _LANE_BITS) + served_as)
        return came.append_column("lane", pa.array(np.full(count, lane))).append_column(
            "key", pa.array(key)
        )

    def _arrivals(self, came: pa.Table) -> Arrivals:
        real = came.filter(pa.array(~_is_null(came)))
        arrival, p, d = (
            real[name].to_numpy()
            for name in ("arrival_s", "prompt_tokens", "decode_tokens")
        )
        return Arrivals(arrival - self._zero_s, p, d)

    def _close(self, served: Served, before: dict[str, float]) -> None:
        """What the slice charged against what it emitted, and both added to the sums."""

        def charged(name: str) -> float:
            parts = _CHARGED[name]
            kept = sum(served.seated[part] - before[part] for part in parts)
            return kept + sum(float(served.spent[part].sum()) for part in parts)

        names = self.group.closed
        found = {name: charged(name) for name in names}
        emitted = {name: float(served.totals[_EMITTED[name]].sum()) for name in names}
        carried = {name: sum(before[part] for part in _CHARGED[name]) for name in names}
        where = f"group {self.group.number}, slice {self.at.num_slices}"
        require_closed(found, emitted, where, carried)
        for name in names:
            self.at.charged[name].add(found[name])
            self.at.emitted[name].add(emitted[name])

    def _go_on(
        self, sorted_out: list[Sorted], written: pa.Table, waiting: pa.Table
    ) -> None:
        at, came = self.at, [each.requests for each in sorted_out]
        longest = [_longest(table) for table in came]
        self.at = dc.replace(
            at,
            num_slices=at.num_slices + 1,
            taken=at.taken + [each.num_rows for each in sorted_out],
            rejected=at.rejected + [each.rejects.num_rows for each in sorted_out],
            last_s=np.array([each.last_s for each in sorted_out]),
            seated=at.seated + [int((~_is_null(table)).sum()) for table in came],
            start_s=np.fmin(at.start_s, [_first_arrival(table) for table in came]),
            clock_s=self.fleet.time_s,
            longest_prompt=max(at.longest_prompt, *(p for p, _ in longest)),
            longest_context=max(at.longest_context, *(c for _, c in longest)),
            waiting=waiting,
            rollups=add_up(at.rollups, written),
            fleet=self.fleet.state(),
        )
        self.store.write(self.at)


def _has_ended(group: Group, at: Checkpoint) -> bool:
    expected = [backend.num_requests for backend in group.backends]
    return at.num_slices > 0 and at.taken.tolist() == expected


def _result(group: Group, at: Checkpoint) -> GroupResult:
    assert at.rollups is not None
    came, rejected = int(at.taken.sum()), int(at.rejected.sum())
    written = int(at.rollups["backend"]["requests"].to_numpy().sum())
    if at.waiting.num_rows or written + rejected != came:
        raise CarbjaxError(
            f"group {group.number}: {came} rows came, {written} requests were written and "
            f"{rejected} rejected. This is a mistake in carbjax."
        )
    return GroupResult(
        number=group.number,
        num_requests=written,
        num_rejected=rejected,
        totals={name: at.emitted[name].value for name in group.closed},
        residual={n: at.charged[n].value - at.emitted[n].value for n in group.closed},
        start_s=at.start_s,
        end_s=at.zero_s + at.clock_s,
        longest_prompt=at.longest_prompt,
        longest_context=at.longest_context,
        rollups=at.rollups,
    )


def _beginning(group: Group, inspectors: Sequence[Inspector]) -> Checkpoint:
    """Where a group stands before its first slice."""
    lanes = len(group.backends)
    first_s = min(first_arrival_s(each, group.slice_rows) for each in inspectors)
    nothing = np.zeros(lanes, np.int64)
    return Checkpoint(
        num_slices=0,
        zero_s=first_s if np.isfinite(first_s) else 0.0,
        taken=nothing,
        rejected=nothing,
        last_s=np.full(lanes, -np.inf),
        seated=nothing,
        start_s=np.full(lanes, np.nan),
        clock_s=np.zeros(lanes),
        longest_prompt=0,
        longest_context=0,
        charged={name: RunningSum() for name in group.closed},
        emitted={name: RunningSum() for name in group.closed},
        waiting=_no_rows(),
        rollups=None,
        fleet=[],
    )


def _no_rows() -> pa.Table:
    extra = [pa.field(name, pa.int64()) for name in ("row", "lane", "key")]
    return pa.schema([*REQUESTS, *extra]).empty_table()


def _split(rows: pa.Table, served: Served) -> tuple[pa.Table, pa.Table]:
    """The rows of the requests served, in that order, then null players; and the others."""
    key = rows["key"].to_numpy()
    order = np.argsort(key, kind="stable")
    wanted = (served.lane << _LANE_BITS) + served.row
    found = np.searchsorted(key, wanted, sorter=order)
    place = order[np.minimum(found, len(key) - 1)] if len(key) else found
    if not np.array_equal(key[place], wanted):
        raise CarbjaxError("a request was served that had not come: a mistake in carbjax.")
    null = np.flatnonzero(key < 0)
    left = np.ones(len(key), bool)
    left[place] = left[null] = False
    return rows.take(pa.array(np.concatenate([place, null]))), rows.filter(pa.array(left))


def _is_null(requests: pa.Table) -> np.ndarray:
    prompt, decode = (
        requests[name].to_numpy() for name in ("prompt_tokens", "decode_tokens")
    )
    return (prompt == 0) & (decode == 0)


def _first_arrival(requests: pa.Table) -> float:
    real = requests["arrival_s"].to_numpy()[~_is_null(requests)]
    return float(real[0]) if len(real) else float("nan")


def _longest(requests: pa.Table) -> tuple[int, int]:
    """Tokens of the longest prompt, and of the longest context."""
    if requests.num_rows == 0:
        return 0, 0
    prompt, decode = (
        requests[name].to_numpy() for name in ("prompt_tokens", "decode_tokens")
    )
    return int(prompt.max()), int((prompt + decode).max())


def instant(unix_s: float) -> dt.datetime:
    """The instant of a Unix time."""
    return dt.datetime.fromtimestamp(unix_s, dt.UTC)
