"""Any supported trace as a `Workload`."""

import dataclasses
import datetime as dt
import difflib
import os
import zoneinfo

import numpy as np

from carbjax._errors import TraceError
from carbjax._traces.azure import AZURE
from carbjax._traces.burstgpt import BURSTGPT
from carbjax._traces.format import Arrivals, TraceFormat
from carbjax._traces.json_lines import first_keys
from carbjax._traces.mooncake import MOONCAKE
from carbjax._traces.otel import OTEL
from carbjax._traces.own import OWN
from carbjax._traces.rejects import Quarantine, Reject, write_rejects
from carbjax._traces.report import TraceReport, report_on
from carbjax._traces.source import Source, open_source
from carbjax._traces.stamps import NANOSECONDS_PER_SECOND, time_zone
from carbjax._traces.table import Table, listed, read_table
from carbjax._traces.tenants import Tenant, tenant_column, tenant_names
from carbjax._traces.values import labels, whole_counts
from carbjax._traces.vllm_bench import VLLM_BENCH
from carbjax._workload import Workload

FORMATS = {form.name: form for form in (AZURE, MOONCAKE, OWN, BURSTGPT, VLLM_BENCH, OTEL)}
_COLUMNS_TO_RECOGNISE = 2


def read_trace(
    path: str | os.PathLike[str],
    format: str | None = None,
    tz: str | None = None,
    tenant: Tenant | None = None,
    rejects: str | os.PathLike[str] | None = None,
    request_id: str | None = None,
) -> Workload:
    """The requests of a trace file, in the order of the file.

    **Arguments:**

    - `path`: CSV, JSON lines or Parquet, plain or gz; see `docs/traces.md`.
    - `format`: `"azure"`, `"mooncake"`, `"carbjax"`, `"burstgpt"`, `"vllm_bench"` or
      `"otel"`; by default it is recognised from the content.
    - `tz`: the IANA zone of time stamps that carry none, such as `"UTC"`. Not used where
      stamps carry an offset, or arrivals are seconds.
    - `tenant`: who sent each request: a column, a map or a function from request_id to
      tenant, or the path of a CSV with `request_id, tenant_id`. A trace without
      request_id counts its requests `"0"`, `"1"`, … . By default the column `tenant_id`.
    - `rejects`: a file for rows that cannot be used: each is written there with the
      reason (JSON lines), and the others are read. By default the first is an error.
    - `request_id`: the column that names the requests, where it is not the format's.

    Where tenants are known they are the players (`by_request()` makes requests the
    players); else each request is one. `epoch` is the UTC second of the first arrival,
    None where arrivals are seconds from an unknown start.

    Raises `TraceError`, which names file, row (the line of the file, from 1; in Parquet
    and JSON documents the record, from 1) and column. Without `rejects` no row is ever
    left out.
    """
    return read_trace_report(path, format, tz, tenant, rejects, request_id)[0]


def read_trace_report(
    path: str | os.PathLike[str],
    format: str | None = None,
    tz: str | None = None,
    tenant: Tenant | None = None,
    rejects: str | os.PathLike[str] | None = None,
    request_id: str | None = None,
) -> tuple[Workload, TraceReport]:
    """What `read_trace` returns, and a summary of the trace with notes."""
    read = _reader(path, format, tz, tenant, request_id, rejects is not None)
    if rejects is None:
        return read.all()
    found = read.usable()
    write_rejects(rejects, read.table.file, found.rejects)
    workload, report = found.require_some(read.table, f"See {rejects}.")
    return workload, report.with_rejects(len(found.rejects), rejects)


@dataclasses.dataclass(frozen=True)
class Usable:
    """The rows of a trace that can be used, and the others."""

    found: tuple[Workload, TraceReport] | None  # None where no row can be used
    rows: list[int]  # of the file, of each request
    rejects: list[Reject]

    def require_some(self, table: Table, hint: str) -> tuple[Workload, TraceReport]:
        """The workload and its report. Raises `TraceError` where there are no requests."""
        if self.found is not None:
            return self.found
        if not self.rejects:
            raise _empty(table)
        first = self.rejects[0]
        raise table.error(
            f"none of its {len(self.rejects)} rows can be used; the first: {first.problem}",
            file=table.file,
            row=first.row,
            column=first.column,
            hint=hint,
        )


def read_usable(
    path: str | os.PathLike[str],
    format: str | None = None,
    tz: str | None = None,
    tenant: Tenant | None = None,
) -> Usable:
    """The trace's rows, those apart that `read_trace` would call an error.

    Raises `TraceError` where no row can be used, or the file as a whole cannot.
    """
    read = _reader(path, format, tz, tenant, None, True)
    usable = read.usable()
    usable.require_some(read.table, "`carbjax validate --rejects FILE` lists all.")
    return usable


@dataclasses.dataclass(frozen=True)
class _Reader:
    """A file's columns, and how requests are made of them."""

    table: Table
    form: TraceFormat
    zone: zoneinfo.ZoneInfo | None
    tenant: Tenant | None

    def all(self) -> tuple[Workload, TraceReport]:
        return _read(self.table, self.form, self.zone, self.tenant)

    def usable(self) -> Usable:
        """What can be used; what is wrong with the others is in the quarantine."""
        table = self.table
        quarantine = table.quarantine
        assert quarantine is not None
        found = self.all() if table.num_rows else None
        kept = np.ones(table.num_rows, bool)
        kept[list(quarantine.faults)] = False
        if quarantine.faults:
            some = dataclasses.replace(self, table=table.select(kept))
            found = some.all() if kept.any() else None
        rows = [table.row_of(i) for i in np.flatnonzero(kept).tolist()]
        return Usable(found, rows, table.rejects())


def _reader(path, format, tz, tenant, request_id: str | None, apart: bool) -> _Reader:
    zone = time_zone(tz, TraceError)
    source = open_source(path, TraceError)
    form, table = _table(source, format, Quarantine() if apart else None)
    if request_id is not None:
        form = form.with_request_id(request_id)
        if request_id not in table.columns:
            raise table.missing(request_id, table.columns)
    return _Reader(table, form, zone, tenant)


def _read(
    table: Table, form: TraceFormat, zone, tenant: Tenant | None
) -> tuple[Workload, TraceReport]:
    column = tenant_column(table, form, tenant)
    named = [] if column is None else [column]
    table.require(form.required, (*form.optional, *named), form.has_other_columns)
    if table.num_rows == 0:
        raise _empty(table)
    notes = () if form.check is None else form.check(table)
    arrivals = form.read_arrivals(table, form.arrival, zone)
    request_ids = _request_ids(table, form)
    known_as = request_ids or [str(i) for i in range(table.num_rows)]
    names = tenant_names(table, column, tenant, known_as)
    workload = _workload(table, form, arrivals, request_ids, names)
    return workload, report_on(table, form, workload, names is not None, notes)


def _empty(table: Table) -> TraceError:
    return TraceError(
        "the trace has no requests.", file=table.file, hint="Give at least one row."
    )


def _table(
    source: Source, format: str | None, quarantine: Quarantine | None
) -> tuple[TraceFormat, Table]:
    """The format that was named, or recognised, and the columns of the file."""
    form = None if format is None else _named(source, format)
    if form is None:
        keys = first_keys(source)
        nested = ((f, f.documents) for f in FORMATS.values())
        form = next((f for f, d in nested if d and keys & d.is_known_by), None)
    if form is not None and form.documents is not None:
        return form, form.documents.table(source, quarantine)
    table = read_table(source, quarantine)
    return form or _recognised(table), table


def _recognised(table: Table) -> TraceFormat:
    columns = {name.lower() for name in table.columns}

    def alike(form: TraceFormat) -> int:
        return sum(
            bool(difflib.get_close_matches(name.lower(), columns, n=1, cutoff=0.8))
            for name in form.required
        )

    flat = [form for form in FORMATS.values() if form.documents is None]
    best = max(flat, key=alike)
    if alike(best) < _COLUMNS_TO_RECOGNISE:
        raise table.fail(
            f"this is no trace that carbjax knows; its columns are "
            f"{listed(table.columns)}.",
            hint="Known are "
            + "; ".join(f"{f.name} ({', '.join(f.required)})" for f in flat)
            + "; and JSON documents: "
            + ", ".join(f.name for f in FORMATS.values() if f.documents)
            + ".",
        )
    return best


def _named(source: Source, name: str) -> TraceFormat:
    if name not in FORMATS:
        raise source.fail(
            f"there is no trace format {name!r}.", hint=f"Known are {', '.join(FORMATS)}."
        )
    return FORMATS[name]


def _request_ids(table: Table, form: TraceFormat) -> list[str] | None:
    column = form.request_id
    if column is None or column not in table.columns:
        return None
    request_ids = labels(table, column)
    if len(set(request_ids)) < len(request_ids):
        first: dict[str, int] = {}
        again = np.array(
            [
                name is not None and first.setdefault(name, index) != index
                for index, name in enumerate(request_ids)
            ]
        )
        table.refuse(
            again,
            column,
            lambda index: (
                f"{request_ids[index]!r} is also the request of row "
                f"{table.row_of(first[request_ids[index]])}."
            ),
            "Give each request its own id, or leave the column out.",
        )
    return request_ids


def _workload(
    table: Table,
    form: TraceFormat,
    arrivals: Arrivals,
    request_ids: list[str] | None,
    names: list[str] | None,
) -> Workload:
    nanoseconds, epoch = arrivals.nanoseconds, None
    if arrivals.has_calendar:
        second = int(nanoseconds.min()) // NANOSECONDS_PER_SECOND
        epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=second)
        nanoseconds = nanoseconds - second * NANOSECONDS_PER_SECOND
    if names is None:
        player, player_names = None, request_ids
    else:
        player_names = list(dict.fromkeys(names))
        number = {name: i for i, name in enumerate(player_names)}
        player = np.array([number[name] for name in names])
    return Workload(
        nanoseconds / NANOSECONDS_PER_SECOND,
        whole_counts(table, form.num_prefill_tokens),
        whole_counts(table, form.num_decode_tokens),
        player,
        epoch,
        request_ids=None if request_ids is None else tuple(request_ids),
        player_names=None if player_names is None else tuple(player_names),
    )
