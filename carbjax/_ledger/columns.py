"""Requests as columns of a ledger's input: the same whatever file they come from."""

import difflib

import numpy as np
import pyarrow as pa

from carbjax._errors import TraceError
from carbjax._traces.format import LATEST_RELATIVE_S, unix_unit
from carbjax._units import INT32_MAX, MICROSECONDS_PER_SECOND
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
_LABELS = ("request_id", "tenant_id")
COLUMNS = ("arrival", *_TOKENS, *_LABELS)
"""Columns of a Parquet file that are read; the last two may be absent."""
_LIKE = 0.75  # of two names: tenant and tenant_id, not tenant_id and request_id
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
    _require_times(schema.field("arrival").type, file)
    for name in _TOKENS:
        if not pa.types.is_integer(schema.field(name).type):
            raise TraceError(
                f"tokens are {schema.field(name).type}, not whole numbers.",
                file=file,
                column=name,
                hint="Write them as int32 or int64.",
            )
    for name in _LABELS:
        _require_label(schema, name, file)
    _require_one_server(schema, file)


def _require_times(kind: pa.DataType, file: str) -> None:
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


def _require_label(schema: pa.Schema, name: str, file: str) -> None:
    """Raises `TraceError` where a label is no text, or seems to be misspelt."""
    if name not in schema.names:
        others = sorted(set(schema.names) - set(COLUMNS))
        near = difflib.get_close_matches(name, others, n=1, cutoff=_LIKE)
        if near:
            raise TraceError(
                f"this column is not known, and there is no {name!r}.",
                file=file,
                column=near[0],
                hint=f"Is it {name!r}? Rename or drop it.",
            )
        return
    kind = schema.field(name).type
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (
        pa.types.is_string(plain)
        or pa.types.is_large_string(plain)
        or pa.types.is_string_view(plain)
        or pa.types.is_integer(plain)
    ):
        raise TraceError(
            f"labels are {kind}.", file=file, column=name, hint="Write them as string."
        )


def _require_one_server(schema: pa.Schema, file: str) -> None:
    for name, what in (("backend", "backends"), ("model", "models")):
        if name in schema.names:
            raise TraceError(
                f"the file has a column {name!r}, so it may hold several {what}.",
                file=file,
                column=name,
                hint="Partition by it: `pyarrow.dataset.write_dataset(table, folder, "
                f"format='parquet', partitioning=[{name!r}], "
                "partitioning_flavor='hive')`.",
            )


def requests_of(batch: pa.RecordBatch | pa.Table, file: str, first_row: int) -> pa.Table:
    """The batch with the columns `REQUESTS`; `first_row` is that of its first record.

    Raises `TraceError`, naming file, row (the record, from 1) and column.
    """
    arrival_s = _arrivals(batch, file, first_row)
    tokens = [_tokens(batch, name, file, first_row) for name in _TOKENS]
    labels = [_labels(batch, name, file) for name in _LABELS]
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
        arrival_s = stamps.to_numpy() / MICROSECONDS_PER_SECOND
        low, high = _PLAUSIBLE
        far = (arrival_s < low) | (arrival_s > high)
        problem = "lies before 2000 or after 2100 (another unit?)"
        _refuse(far, problem, file, first_row, "arrival")
        return arrival_s
    arrival_s = column.cast(pa.float64()).to_numpy()
    _refuse(~np.isfinite(arrival_s), "is not finite", file, first_row, "arrival")
    _refuse(arrival_s < 0, "is before the start", file, first_row, "arrival")
    far = arrival_s > LATEST_RELATIVE_S
    guess = unix_unit(float(arrival_s[far][0])) if far.any() else None
    problem = f"is years after the start: a Unix time {guess or 'or another unit'}"
    _refuse(far, problem, file, first_row, "arrival")
    return arrival_s


def _tokens(batch, name: str, file: str, first_row: int) -> pa.Array:
    column = batch.column(name)
    _refuse(_missing(column), "is missing", file, first_row, name)
    huge = f"is more than {INT32_MAX}"
    if pa.types.is_uint64(column.type):
        _refuse(column.to_numpy() > INT32_MAX, huge, file, first_row, name)
    tokens = column.cast(pa.int64())
    values = tokens.to_numpy()
    _refuse(values < 0, "is negative", file, first_row, name)
    _refuse(values > INT32_MAX, huge, file, first_row, name)
    return tokens


def _labels(batch, name: str, file: str) -> pa.Array:
    if name not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    try:
        labels = batch.column(name).cast(pa.string())
        labels.validate(full=True)
    except pa.ArrowException as cause:
        raise TraceError(
            f"there are labels that are no text ({cause}).",
            file=file,
            column=name,
            hint="Write them as UTF-8.",
        ) from None
    return labels


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
