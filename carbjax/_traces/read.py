"""Any supported trace as a `Workload`."""

import datetime as dt
import difflib
import os

import numpy as np

from carbjax._errors import TraceError
from carbjax._traces.azure import AZURE
from carbjax._traces.format import Arrivals, TraceFormat
from carbjax._traces.mooncake import MOONCAKE
from carbjax._traces.own import OWN
from carbjax._traces.report import TraceReport, report_on
from carbjax._traces.source import open_source
from carbjax._traces.stamps import NANOSECONDS_PER_SECOND, time_zone
from carbjax._traces.table import Table, listed, read_table
from carbjax._traces.tenants import Tenant, tenant_column, tenant_names
from carbjax._traces.values import labels, whole_counts
from carbjax._workload import Workload

FORMATS = {form.name: form for form in (AZURE, MOONCAKE, OWN)}
_COLUMNS_TO_RECOGNISE = 2


def read_trace(
    path: str | os.PathLike[str],
    format: str | None = None,
    tz: str | None = None,
    tenant: Tenant | None = None,
) -> Workload:
    """The requests of a trace file, in the order of the file.

    **Arguments:**

    - `path`: CSV, JSON lines or Parquet, plain or gz; see `docs/traces.md`.
    - `format`: `"azure"`, `"mooncake"` or `"carbjax"`; by default it is recognised from
      the content.
    - `tz`: the IANA zone of time stamps that carry none, such as `"UTC"`. Not used where
      stamps carry an offset, or arrivals are seconds.
    - `tenant`: who sent each request: a column, a map or a function from request_id to
      tenant, or the path of a CSV with `request_id, tenant_id`. A trace without
      request_id counts its requests `"0"`, `"1"`, … . By default the column `tenant_id`.

    Where tenants are known they are the players (`by_request()` makes requests the
    players); else each request is one. `epoch` is the UTC second of the first arrival,
    None where arrivals are seconds from an unknown start.

    Raises `TraceError`, which names file, row (the line of the file, from 1; in Parquet
    the record, from 1) and column. No row is ever left out.
    """
    return read_trace_report(path, format, tz, tenant)[0]


def read_trace_report(
    path: str | os.PathLike[str],
    format: str | None = None,
    tz: str | None = None,
    tenant: Tenant | None = None,
) -> tuple[Workload, TraceReport]:
    """What `read_trace` returns, and a summary of the trace with notes."""
    zone = time_zone(tz, TraceError)
    table = read_table(open_source(path, TraceError))
    form = _recognised(table) if format is None else _named(format, table)
    column = tenant_column(table, form, tenant)
    table.require(form.required, (*form.optional, *([] if column is None else [column])))
    if table.num_rows == 0:
        raise table.fail("the trace has no requests.", hint="Give at least one row.")
    arrivals = form.read_arrivals(table, form.arrival, zone)
    request_ids = _request_ids(table, form)
    known_as = request_ids or [str(i) for i in range(table.num_rows)]
    names = tenant_names(table, column, tenant, known_as)
    workload = _workload(table, form, arrivals, request_ids, names)
    return workload, report_on(table, form, workload, names is not None)


def _recognised(table: Table) -> TraceFormat:
    columns = {name.lower() for name in table.columns}

    def alike(form: TraceFormat) -> int:
        return sum(
            bool(difflib.get_close_matches(name.lower(), columns, n=1, cutoff=0.8))
            for name in form.required
        )

    best = max(FORMATS.values(), key=alike)
    if alike(best) < _COLUMNS_TO_RECOGNISE:
        raise table.fail(
            f"this is no trace that carbjax knows; its columns are "
            f"{listed(table.columns)}.",
            hint="Known are "
            + "; ".join(f"{f.name} ({', '.join(f.required)})" for f in FORMATS.values())
            + ".",
        )
    return best


def _named(name: str, table: Table) -> TraceFormat:
    if name not in FORMATS:
        raise table.fail(
            f"there is no trace format {name!r}.", hint=f"Known are {', '.join(FORMATS)}."
        )
    return FORMATS[name]


def _request_ids(table: Table, form: TraceFormat) -> list[str] | None:
    column = form.request_id
    if column is None or column not in table.columns:
        return None
    request_ids = labels(table, column)
    first: dict[str, int] = {}
    if len(set(request_ids)) < len(request_ids):
        for index, name in enumerate(request_ids):
            if first.setdefault(name, index) != index:
                raise table.fail(
                    f"{name!r} is also the request of row {table.row_of(first[name])}.",
                    index,
                    column,
                    hint="Give each request its own id, or leave the column out.",
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
