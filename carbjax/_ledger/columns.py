"""Requests as columns of a ledger's input: the same whatever file they come from."""

import numpy as np
import pyarrow as pa

from carbjax._errors import TraceError
from carbjax._units import INT32_MAX
from carbjax._workload import Workload

REQUESTS = pa.schema(
    [
        ("request_id", pa.string()),
        ("tenant_id", pa.string()),
        ("arrival_s", pa.float64()),  # Unix seconds, or from an unknown start
        ("prompt_tokens", pa.int64()),
        ("decode_tokens", pa.int64()),
    ]
)
_TOKENS = ("prompt_tokens", "decode_tokens")
_MICROSECONDS = 1e6
# Unix seconds of 2000 and 2100: a calendar in other units lies outside.
_PLAUSIBLE = (946_684_800.0, 4_102_444_800.0)


def has_calendar(schema: pa.Schema) -> bool:
    """Whether arrivals are instants rather than seconds from an unknown start."""
    return pa.types.is_timestamp(schema.field("arrival").type)


def require_columns(schema: pa.Schema, file: str) -> None:
    """Raises `TraceError` unless a Parquet file has what a ledger needs."""
    for name in ("arrival", *_TOKENS):
        if name not in schema.names:
            raise TraceError(
                f"there is no column {name!r}; there are {', '.join(schema.names)}.",
                file=file,
                column=name,
                hint="A ledger's Parquet has arrival, prompt_tokens, decode_tokens, and "
                "may have request_id and tenant_id.",
            )
    kind = schema.field("arrival").type
    if pa.types.is_timestamp(kind) and kind.tz is None:
        raise TraceError(
            "the time stamps have no time zone.",
            file=file,
            column="arrival",
            hint="Write them as timestamp[us, UTC].",
        )
    if not (pa.types.is_timestamp(kind) or pa.types.is_floating(kind)):
        raise TraceError(
            f"arrivals are {kind}.",
            file=file,
            column="arrival",
            hint="Write timestamp[us, UTC], or float64 seconds from the start.",
        )
    for name in _TOKENS:
        if not pa.types.is_integer(schema.field(name).type):
            raise TraceError(
                f"tokens are {schema.field(name).type}, not whole numbers.",
                file=file,
                column=name,
                hint="Write them as int32 or int64.",
            )


def requests_of(batch: pa.RecordBatch | pa.Table, file: str, first_row: int) -> pa.Table:
    """The batch with the columns `REQUESTS`; `first_row` is that of its first record.

    Raises `TraceError`, naming file, row (the record, from 1) and column.
    """
    arrival_s = _arrivals(batch, file, first_row)
    tokens = [_tokens(batch, name, file, first_row) for name in _TOKENS]
    labels = [_labels(batch, name) for name in ("request_id", "tenant_id")]
    return pa.Table.from_arrays([*labels, pa.array(arrival_s), *tokens], schema=REQUESTS)


def requests_of_workload(workload: Workload) -> pa.Table:
    """The workload's requests in order of (arrival, index), with the columns `REQUESTS`."""
    order = np.argsort(workload.arrival_s, kind="stable")
    zero = 0.0 if workload.epoch is None else workload.epoch.timestamp()
    ids, names = workload.request_ids, workload.player_names
    # A workload by request names its players as its requests: no tenants are known then.
    tenants = None if names is None or names == ids else names
    nothing = pa.nulls(len(order), pa.string())
    return pa.Table.from_arrays(
        [
            nothing if ids is None else pa.array([ids[i] for i in order]),
            nothing
            if tenants is None
            else pa.array([tenants[workload.player[i]] for i in order]),
            pa.array(zero + workload.arrival_s[order]),
            pa.array(workload.num_prefill_tokens[order]),
            pa.array(workload.num_decode_tokens[order]),
        ],
        schema=REQUESTS,
    )


def _arrivals(batch, file: str, first_row: int) -> np.ndarray:
    column = batch.column("arrival")
    _refuse(_missing(column), "is missing", file, first_row, "arrival")
    if pa.types.is_timestamp(column.type):
        stamps = column.cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64())
        arrival_s = stamps.to_numpy() / _MICROSECONDS
        low, high = _PLAUSIBLE
        far = (arrival_s < low) | (arrival_s > high)
        problem = "lies before 2000 or after 2100 (another unit?)"
        _refuse(far, problem, file, first_row, "arrival")
        return arrival_s
    arrival_s = column.cast(pa.float64()).to_numpy()
    _refuse(~np.isfinite(arrival_s), "is not finite", file, first_row, "arrival")
    return arrival_s


def _tokens(batch, name: str, file: str, first_row: int) -> pa.Array:
    column = batch.column(name)
    _refuse(_missing(column), "is missing", file, first_row, name)
    tokens = column.cast(pa.int64())
    values = tokens.to_numpy()
    _refuse(values < 0, "is negative", file, first_row, name)
    _refuse(values > INT32_MAX, f"is more than {INT32_MAX}", file, first_row, name)
    return tokens


def _labels(batch, name: str) -> pa.Array:
    if name not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    return batch.column(name).cast(pa.string())


def _missing(column) -> np.ndarray:
    return np.asarray(column.is_null())


def _refuse(bad: np.ndarray, problem: str, file: str, first_row: int, column: str) -> None:
    if bad.any():
        raise TraceError(
            f"the value {problem} ({int(bad.sum())} such rows among {len(bad)}).",
            file=file,
            row=first_row + int(np.argmax(bad)),
            column=column,
            hint="Correct the file, or leave the row out.",
        )
