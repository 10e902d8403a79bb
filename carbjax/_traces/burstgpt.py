"""The BurstGPT traces 1 to 3: seconds from midnight of the first day, no calendar.

Source: `HPMLL/BurstGPT`, README at e92f533b; CC-BY-4.0; Wang et al., KDD 2025. Older
releases have neither `Session ID` nor `Elapsed time`.
"""

from zoneinfo import ZoneInfo

import numpy as np

from carbjax._traces.columns import Table
from carbjax._traces.format import Arrivals, TraceFormat, from_start
from carbjax._traces.values import numbers, numbers_or_nan, whole_counts

_PROMPT, _ANSWER = "Request tokens", "Response tokens"
_TOTAL, _ELAPSED = "Total tokens", "Elapsed time"


def _arrivals(table: Table, column: str, zone: ZoneInfo | None) -> Arrivals:
    return from_start(table, column, numbers(table, column))


def _check(table: Table) -> tuple[str, ...]:
    notes = []
    if _ELAPSED in table.columns:
        table.refuse(
            numbers_or_nan(table, _ELAPSED) < 0,
            _ELAPSED,
            lambda index: (
                f"the request ends {table.shown(_ELAPSED, index)} s after it starts."
            ),
            "Is it in another unit, or are start and end swapped?",
        )
    if _TOTAL in table.columns:
        total = numbers_or_nan(table, _TOTAL)
        parts = whole_counts(table, _PROMPT) + whole_counts(table, _ANSWER)
        other = int(np.sum(total != parts))
        if other:
            notes.append(
                f"{other} requests have another number of {_TOTAL!r} than of {_PROMPT!r} "
                f"and {_ANSWER!r} together; it plays no part."
            )
    failed = int(np.sum(whole_counts(table, _ANSWER) == 0))
    if failed:
        notes.append(
            f"{failed} requests have no answer: in BurstGPT these failed. Their prompts "
            "are served; the files `BurstGPT_without_fails` leave them out."
        )
    return tuple(notes)


BURSTGPT = TraceFormat(
    name="burstgpt",
    arrival="Timestamp",
    num_prefill_tokens=_PROMPT,
    num_decode_tokens=_ANSWER,
    read_arrivals=_arrivals,
    ignored={
        "Session ID": "prefixes shared in a conversation are computed anew for each turn",
        "Model": "all requests are served by the model that you choose",
        "Log Type": "conversations and API calls are served alike",
    },
    checked=(_TOTAL, _ELAPSED),
    check=_check,
)
