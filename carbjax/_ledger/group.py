"""Backends served and charged together, slice by slice: one task of a ledger."""

import dataclasses as dc
import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from carbjax._errors import CarbjaxError, WorkloadError
from carbjax._fleet.fleet import Arrivals, Fleet, Served
from carbjax._ledger.backends import Backend, place_of
from carbjax._ledger.checkpoint import Checkpoint, GroupStore
from carbjax._ledger.closing import RunningSum, require_closed
from carbjax._ledger.columns import REQUESTS
from carbjax._ledger.feed import Feed
from carbjax._ledger.request_rows import request_rows
from carbjax._ledger.rollups import add_up
from carbjax._serving.system import System

if TYPE_CHECKING:
    from carbjax._carbon.intensity import RelativeIntensity

_LANE_BITS = 40  # of a key: which request of a lane
CLOSED: tuple[str, ...] = ("energy_j", "operational_gco2e", "embodied_gco2e")
"""What must add up."""


@dc.dataclass(frozen=True)
class Group:
    """Backends that are served together, and how."""

    number: int
    backends: tuple[Backend, ...]
    system: System
    market_intensity: float | None  # g/kWh
    slice_rows: int  # requests that each backend takes at once


@dc.dataclass(frozen=True)
class GroupResult:
    """What a group's requests were charged in all, and when its backends worked."""

    number: int
    num_requests: int
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
        self.at = _beginning(group) if known is None else known
        self.fleet = Fleet(
            group.system, self._intensity(), len(group.backends), num_rows=group.slice_rows
        )
        if known is not None:
            self.fleet.restore(known.fleet)
        self.feeds = [
            Feed(backend, int(taken), group.slice_rows)
            for backend, taken in zip(group.backends, self.at.taken, strict=True)
        ]

    def next_slice(self) -> int:
        """How many requests came in the slice, which is written."""
        at, lanes = self.at, range(len(self.feeds))
        came = [feed.take(self.group.slice_rows) for feed in self.feeds]
        rows = pa.concat_tables([at.waiting, *(self._numbered(i, came[i]) for i in lanes)])
        before = self.fleet.seated()
        arrivals = [self._arrivals(i, came[i]) for i in lanes]
        served = self.fleet.serve(arrivals, [not feed.ended for feed in self.feeds])
        self._require_cover()
        self._close(served, before)
        done, waiting = _split(rows, served)
        written = request_rows(done, served, self.group, self._zero_s)
        self.store.write_part(at.num_slices, written)
        self._go_on(came, written, waiting, served)
        return sum(table.num_rows for table in came)

    @property
    def _zero_s(self) -> float:
        """Second 0 of the fleet, on the arrivals' clock: the first arrival of all."""
        return self.at.zero_s

    def _intensity(self) -> "RelativeIntensity":
        series = self.group.system.carbon_intensity
        if series.is_constant:
            return series.relative(None)
        return series.relative(instant(self._zero_s))

    def _require_cover(self) -> None:
        series = self.group.system.carbon_intensity
        if not series.is_constant:
            end = self._zero_s + float(self.fleet.time_s.max())
            series.require_cover(instant(self._zero_s), instant(end))

    def _numbered(self, lane: int, came: pa.Table) -> pa.Table:
        """The requests with their lane, place in the trace, and key in the fleet."""
        count = came.num_rows
        is_null = _is_null(came)
        first, first_served = self.at.taken[lane], self.at.seated[lane]
        served_as = first_served + np.cumsum(~is_null) - 1
        key = np.where(is_null, -1, (lane << _LANE_BITS) + served_as)
        return (
            came.append_column("lane", pa.array(np.full(count, lane)))
            .append_column("row", pa.array(first + np.arange(count)))
            .append_column("key", pa.array(key))
        )

    def _arrivals(self, lane: int, came: pa.Table) -> Arrivals:
        real = came.filter(pa.array(~_is_null(came)))
        arrival, p, d = (
            real[name].to_numpy()
            for name in ("arrival_s", "prompt_tokens", "decode_tokens")
        )
        too_large = np.flatnonzero(p + d > self.group.system.kv_capacity_tokens)
        if len(too_large):
            raise self._too_large(lane, came)
        return Arrivals(arrival - self._zero_s, p, d)

    def _too_large(self, lane: int, came: pa.Table) -> WorkloadError:
        """The error that names the first request that no KV cache of theirs holds."""
        backend, capacity = self.group.backends[lane], self.group.system.kv_capacity_tokens
        needs = came["prompt_tokens"].to_numpy() + came["decode_tokens"].to_numpy()
        first = int(np.argmax(needs > capacity))
        number = int(self.at.taken[lane]) + first
        file, row = place_of(backend, number)
        label = came["request_id"][first].as_py()
        return WorkloadError(
            f"request {number if label is None else repr(label)} of backend "
            f"{backend.name!r} needs {needs[first]} tokens of KV cache, and "
            f"`kv_capacity_tokens` is {capacity}.",
            file=file,
            row=row,
            hint="Leave it out, raise the capacity, or use more GPUs.",
        )

    def _close(self, served: Served, before: dict[str, float]) -> None:
        """What the slice charged against what it emitted, and both added to the sums."""

        def charged(*names: str) -> float:
            kept = sum(served.seated[name] - before[name] for name in names)
            return kept + sum(float(served.spent[name].sum()) for name in names)

        found = dict(
            zip(
                CLOSED,
                (
                    charged("prefill_j", "decode_j"),
                    charged("prefill_g", "decode_g"),
                    charged("embodied_g"),
                ),
                strict=True,
            )
        )
        emitted = {
            "energy_j": float(served.totals["electricity_j"].sum()),
            "operational_gco2e": float(served.totals["operational_g"].sum()),
            "embodied_gco2e": float(served.totals["embodied_g"].sum()),
        }
        where = f"group {self.group.number}, slice {self.at.num_slices}"
        carried = {
            "energy_j": before["prefill_j"] + before["decode_j"],
            "operational_gco2e": before["prefill_g"] + before["decode_g"],
            "embodied_gco2e": before["embodied_g"],
        }
        require_closed(found, emitted, where, carried)
        for name in CLOSED:
            self.at.charged[name].add(found[name])
            self.at.emitted[name].add(emitted[name])

    def _go_on(
        self, came: list[pa.Table], written: pa.Table, waiting: pa.Table, served: Served
    ) -> None:
        at = self.at
        longest = [_longest(table) for table in came]
        self.at = dc.replace(
            at,
            num_slices=at.num_slices + 1,
            taken=at.taken + [table.num_rows for table in came],
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
    came = int(at.taken.sum())
    written = int(at.rollups["backend"]["requests"].to_numpy().sum())
    if at.waiting.num_rows or written != came:
        raise CarbjaxError(
            f"group {group.number}: {came} requests came and {written} were written. "
            "This is a mistake in carbjax."
        )
    return GroupResult(
        number=group.number,
        num_requests=came,
        totals={name: at.emitted[name].value for name in CLOSED},
        residual={n: at.charged[n].value - at.emitted[n].value for n in CLOSED},
        start_s=at.start_s,
        end_s=at.zero_s + at.clock_s,
        longest_prompt=at.longest_prompt,
        longest_context=at.longest_context,
        rollups=at.rollups,
    )


def _beginning(group: Group) -> Checkpoint:
    """Where a group stands before its first slice."""
    lanes = len(group.backends)
    firsts = [next(backend.batches(0, 1))["arrival_s"][0] for backend in group.backends]
    nothing = np.zeros(lanes, np.int64)
    return Checkpoint(
        num_slices=0,
        zero_s=min(first.as_py() for first in firsts),
        taken=nothing,
        seated=nothing,
        start_s=np.full(lanes, np.nan),
        clock_s=np.zeros(lanes),
        longest_prompt=0,
        longest_context=0,
        charged={name: RunningSum() for name in CLOSED},
        emitted={name: RunningSum() for name in CLOSED},
        waiting=_no_rows(),
        rollups=None,
        fleet=[],
    )


def _no_rows() -> pa.Table:
    extra = [pa.field(name, pa.int64()) for name in ("lane", "row", "key")]
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
