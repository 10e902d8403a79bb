"""Backends whose requests stand in text traces."""

import dataclasses as dc
import json
import pathlib

import numpy as np
import pyarrow as pa

from carbjax._ledger.backends import TableBackend
from carbjax._ledger.columns import FAULTS, requests_of_workload
from carbjax._ledger.partitions import key_of, readable
from carbjax._traces.read import read_trace_report, read_usable
from carbjax._traces.rejects import Reject
from carbjax._traces.report import NO_CALENDAR


def text_backend(
    path: pathlib.Path, format: str | None, tz: str | None, tenants: str | None, apart: bool
) -> TableBackend:
    """The one backend of a text trace; with `apart` rows that cannot be used come last.

    Raises `TraceError`.
    """
    rows, rejects = None, []
    if apart:
        usable = read_usable(path, format, tz, tenants)
        assert usable.found is not None
        workload, report = usable.found
        rows, rejects = np.array(usable.rows), usable.rejects
    else:
        workload, report = read_trace_report(path, format, tz, tenants)
    table = requests_of_workload(workload)
    if rows is not None:
        rows = rows[np.argsort(workload.arrival_s, kind="stable")]
        rows = (*rows.tolist(), *(reject.row for reject in rejects))
    if rejects:
        faults = _faults(str(path), rejects)
        table = pa.concat_tables([table, faults], promote_options="default")
    return TableBackend(
        name=readable(path.name),
        inputs=(str(path),),
        requests=table,
        has_calendar=workload.epoch is not None,
        model=key_of(path, "model"),
        rejects=apart,
        rows=rows,
        # Whether a calendar is missed depends on the intensity: that is checked.
        notes=tuple(f"{path}: {n}" for n in report.notes if n != NO_CALENDAR),
    )


def in_turn(whole: TableBackend, spread: int | None) -> list[TableBackend]:
    """The backend, or `spread` of them that its requests go to in turn.

    Rows that cannot be used are the first one's.
    """
    if spread is None:
        return [whole]
    count = whole.num_requests
    if "problem" in whole.requests.column_names:
        count = whole.requests["problem"].null_count
    width = len(str(spread - 1))
    parts = [np.arange(first, count, spread) for first in range(min(spread, count))]
    parts[0] = np.append(parts[0], np.arange(count, whole.num_requests))
    return [
        dc.replace(
            whole,
            name=f"{whole.name}/{number:0{width}d}",
            requests=whole.requests.take(pa.array(part)),
            rows=None if whole.rows is None else tuple(whole.rows[i] for i in part),
        )
        for number, part in enumerate(parts)
    ]


def _faults(file: str, rejects: list[Reject]) -> pa.Table:
    """Rows in which only the columns `FAULTS` mean anything."""
    told = [
        (file, each.row, each.column, each.problem, json.dumps(each.record))
        for each in rejects
    ]
    columns = [pa.array(values, f.type) for values, f in zip(zip(*told), FAULTS)]
    faults = pa.Table.from_arrays(columns, schema=FAULTS)
    zero, unknown = np.zeros(len(told), np.int64), np.full(len(told), np.nan)
    for name, values in (
        ("arrival_s", unknown),
        ("prompt_tokens", zero),
        ("decode_tokens", zero),
    ):
        faults = faults.append_column(name, pa.array(values))
    return faults
