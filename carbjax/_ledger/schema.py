"""What columns a Parquet file of requests must have, and of which types."""

import difflib

import pyarrow as pa

from carbjax._errors import TraceError
from carbjax._ledger.columns import COLUMNS, LABELS, TOKENS

_LIKE = 0.75  # of two names: tenant and tenant_id, not tenant_id and request_id


def has_calendar(schema: pa.Schema) -> bool:
    """Whether arrivals are instants rather than seconds from an unknown start."""
    return pa.types.is_timestamp(schema.field("arrival").type)


def require_columns(schema: pa.Schema, file: str) -> None:
    """Raises `TraceError` unless a Parquet file has what a ledger needs."""
    for name in ("arrival", *TOKENS):
        if name not in schema.names:
            raise TraceError(
                f"there is no column {name!r}; there are {', '.join(schema.names)}.",
                file=file,
                column=name,
                hint="A ledger's Parquet has arrival, prompt_tokens, decode_tokens, and "
                "may have request_id and tenant_id.",
            )
    _require_times(schema.field("arrival").type, file)
    for name in TOKENS:
        if not pa.types.is_integer(schema.field(name).type):
            raise TraceError(
                f"tokens are {schema.field(name).type}, not whole numbers.",
                file=file,
                column=name,
                hint="Write them as int32 or int64.",
            )
    for name in LABELS:
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
    if "backend" in schema.names:
        raise TraceError(
            "the file has a column 'backend', so it may hold several backends.",
            file=file,
            column="backend",
            hint="Partition by it: `pyarrow.dataset.write_dataset(table, folder, "
            "format='parquet', partitioning=['backend'], partitioning_flavor='hive')`.",
        )
