"""The long table of an evaluation: one number a row."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from carbjax._criteria.bootstrap import Interval

CRITERIA = ("fairness", "axioms", "scalability", "sample_efficiency", "incentives")

ROWS = pa.schema(
    [
        ("criterion", pa.string()),
        ("method", pa.string()),
        ("quantity", pa.string()),
        ("unit", pa.string()),
        ("group", pa.string()),
        ("workload", pa.int32()),
        ("value", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("level", pa.float64()),
        ("num_values", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)
CURVES = pa.schema(
    [
        ("method", pa.string()),
        ("part", pa.string()),
        ("tokens", pa.float64()),
        ("reward", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
    ]
)
POINTS = pa.schema(
    [
        ("method", pa.string()),
        ("axis", pa.string()),
        ("size", pa.int64()),
        ("seconds", pa.float64()),
        ("compile_s", pa.float64()),
        ("peak_bytes", pa.int64()),
    ]
)


class Row(NamedTuple):
    """One number; `workload` None is over all of them, `value` None is not known.

    `status`: "ok", "refused" or "not_applicable"; `reason` says why, or what the number
    leaves out.
    """

    criterion: str
    method: str
    quantity: str
    value: float | None
    unit: str = ""
    group: str | None = None
    workload: int | None = None
    lower: float | None = None
    upper: float | None = None
    level: float | None = None
    num_values: int | None = None
    status: str = "ok"
    reason: str | None = None

    def within(self, interval: Interval) -> "Row":
        """The row with the ends of an interval."""
        return self._replace(
            lower=interval.low, upper=interval.high, level=float(interval.level)
        )


def refused(criterion: str, method: str, reason: str, workload: int | None = None) -> Row:
    """The row of a method that cannot be judged."""
    return Row(
        criterion, method, "", None, workload=workload, status="refused", reason=reason
    )


def to_table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """The rows as a table; NaN become null, infinities stay."""
    known = [{name: _known(row.get(name)) for name in schema.names} for row in rows]
    return pa.Table.from_pylist(known, schema=schema)


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
