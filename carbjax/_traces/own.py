"""carbjax's own traces, CSV or Parquet: time stamps or seconds from the start."""

from zoneinfo import ZoneInfo

import pyarrow as pa

from carbjax._traces.columns import Table
from carbjax._traces.format import Arrivals, TraceFormat, from_start
from carbjax._traces.stamps import instants
from carbjax._traces.values import numbers, present


def _arrivals(table: Table, column: str, zone: ZoneInfo | None) -> Arrivals:
    given = present(table, column).drop_null()
    if len(given) == 0 or _is_number(given[0]):
        return from_start(table, column, numbers(table, column))
    return Arrivals(instants(table, column, zone), has_calendar=True)


def _is_number(value: pa.Scalar) -> bool:
    try:
        value.cast(pa.float64(), safe=False)
    except pa.ArrowException:
        return False
    return True


OWN = TraceFormat(
    name="carbjax",
    arrival="arrival",
    num_prefill_tokens="prompt_tokens",
    num_decode_tokens="decode_tokens",
    read_arrivals=_arrivals,
    request_id="request_id",
    tenant="tenant_id",
)
