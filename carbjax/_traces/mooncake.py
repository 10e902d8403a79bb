"""The Mooncake traces: JSON lines with arrivals in milliseconds from the start.

Source: `kvcache-ai/Mooncake`, `FAST25-release/traces`, Apache-2.0.
"""

from zoneinfo import ZoneInfo

from carbjax._traces.columns import Table
from carbjax._traces.format import Arrivals, TraceFormat, from_start
from carbjax._traces.values import numbers
from carbjax._units import SECONDS_PER_MILLISECOND


def _arrivals(table: Table, column: str, zone: ZoneInfo | None) -> Arrivals:
    return from_start(table, column, numbers(table, column) * SECONDS_PER_MILLISECOND)


MOONCAKE = TraceFormat(
    name="mooncake",
    arrival="timestamp",
    num_prefill_tokens="input_length",
    num_decode_tokens="output_length",
    read_arrivals=_arrivals,
    ignored={"hash_ids": "prefixes shared between requests are computed anew for each"},
)
