"""The Azure LLM inference traces of 2023 (naive stamps) and 2024 (with an offset).

Source: `Azure/AzurePublicDataset`, CC-BY-4.0; published with Splitwise (ISCA 2024) and
DynamoLLM (HPCA 2025).
"""

from zoneinfo import ZoneInfo

from carbjax._traces.columns import Table
from carbjax._traces.format import Arrivals, TraceFormat
from carbjax._traces.stamps import instants


def _arrivals(table: Table, column: str, zone: ZoneInfo | None) -> Arrivals:
    return Arrivals(instants(table, column, zone), has_calendar=True)


AZURE = TraceFormat(
    name="azure",
    arrival="TIMESTAMP",
    num_prefill_tokens="ContextTokens",
    num_decode_tokens="GeneratedTokens",
    read_arrivals=_arrivals,
)
