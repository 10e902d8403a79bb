"""Requests as columns of a ledger's input: the same whatever file they come from."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carbjax._errors import TraceError
from carbjax._traces.format import LATEST_RELATIVE_S, unix_unit
from carbjax._traces.rejects import Quarantine
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
FAULTS = pa.schema(
    [
        ("file", pa.string()),
        ("file_row", pa.int64()),  # as errors count it
        ("column", pa.string()),
        ("problem", pa.string()),
        ("record", pa.string()),  # JSON, all that the row said
    ]
)
"""Further columns where some rows cannot be used; `problem` is null for the others."""
TOKENS = ("prompt_tokens", "decode_tokens")
LABELS = ("request_id", "tenant_id")
COLUMNS = ("arrival", *TOKENS, *LABELS)
"""Columns of a Parquet file that are read; the last two may be absent."""
# Unix seconds of 2000 and 2100: a calendar in other units lies outside.
_PLAUSIBLE = (946_684_800.0, 4_102_444_800.0)


class Batch:
    """Records of a Parquet file, of which some may be faulty.

    What is wrong with a record is an error that names file, row (the record, from 1) and
    column; or it is set aside, where `rejects` says so.
    """

    def __init__(self, records: pa.RecordBatch, file: str, first_row: int, rejects: bool):
        self._records, self._file, self._first_row = records, file, first_row
        self._quarantine = Quarantine() if rejects else None

    def requests(self) -> pa.Table:
        """The columns `REQUESTS`, and those of `FAULTS` where there are any.

        What stands in a faulty row means nothing. Raises `TraceError`.
        """
        arrival_s = pa.array(self._arrivals())
        tokens = [self._tokens(name) for name in TOKENS]
        labels = [self._labels(name) for name in LABELS]
        columns = [*labels, arrival_s, *tokens]
        table = pa.Table.from_arrays(columns, schema=REQUESTS)
        if self._quarantine is None or not self._quarantine.faults:
            return table
        return self._with_faults(table, self._quarantine)

    def _with_faults(self, table: pa.Table, found: Quarantine) -> pa.Table:
        faults: dict[str, list] = {name: [None] * table.num_rows for name in FAULTS.names}
        for index, (column, problem) in found.faults.items():
            values = self._file, self._first_row + index, column, problem
            for name, value in zip(FAULTS.names, (*values, self._record(index))):
                faults[name][index] = value
        for field in FAULTS:
            table = table.append_column(field, pa.array(faults[field.name], field.type))
        return table

    def _record(self, index: int) -> str:
        names = self._records.schema.names
        return json.dumps({name: _shown(self._records[name], index) for name in names})

    def _arrivals(self) -> np.ndarray:
        column = self._records.column("arrival")
        missing = self._refused(_missing(column), "is missing", "arrival")
        if pa.types.is_timestamp(column.type):
            stamps = column.cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64())
            arrival_s = stamps.fill_null(0).to_numpy() / MICROSECONDS_PER_SECOND
            low, high = _PLAUSIBLE
            far = (arrival_s < low) | (arrival_s > high)
            problem = "lies before 2000 or after 2100 (another unit?)"
            self._refused(far & ~missing, problem, "arrival")
            return arrival_s
        arrival_s = column.cast(pa.float64()).fill_null(0).to_numpy()
        self._refused(~np.isfinite(arrival_s), "is not finite", "arrival")
        self._refused(arrival_s < 0, "is before the start", "arrival")
        far = arrival_s > LATEST_RELATIVE_S
        guess = unix_unit(float(arrival_s[far][0])) if far.any() else None
        problem = f"is years after the start: a Unix time {guess or 'or another unit'}"
        self._refused(far & np.isfinite(arrival_s), problem, "arrival")
        return arrival_s

    def _tokens(self, name: str) -> pa.Array:
        column = self._records.column(name)
        if self._refused(_missing(column), "is missing", name).any():
            column = column.fill_null(0)
        if pa.types.is_uint64(column.type):
            huge = column.to_numpy() > INT32_MAX
            if self._refused(huge, f"is more than {INT32_MAX}", name).any():
                column = pa.array(np.where(huge, 0, column.to_numpy()))
        tokens = column.cast(pa.int64())
        values = tokens.to_numpy()
        self._refused(values < 0, "is negative", name)
        self._refused(values > INT32_MAX, f"is more than {INT32_MAX}", name)
        return tokens

    def _labels(self, name: str) -> pa.Array:
        if name not in self._records.schema.names:
            return pa.nulls(self._records.num_rows, pa.string())
        column = without_dictionary(self._records.column(name))
        labels = column.cast(pa.string())
        try:
            labels.validate(full=True)
        except pa.ArrowException:
            contents = [_bytes(labels, i) for i in range(len(labels))]
            good = np.array([_is_utf8(content) for content in contents])
            self._refused(~good, "is no text (not UTF-8)", name)
            labels = pc.call_function("if_else", [good, labels, None])
        return labels

    def _refused(self, bad: np.ndarray, problem: str, column: str) -> np.ndarray:
        """`bad`, which are set aside. Raises `TraceError` where nothing is."""
        if not bad.any():
            return bad
        problem = f"the value {problem}"
        if self._quarantine is None:
            raise TraceError(
                f"{problem} ({int(bad.sum())} such rows among {len(bad)}).",
                file=self._file,
                row=self._first_row + int(np.argmax(bad)),
                column=column,
                hint="Correct the file, leave the row out, or set such rows aside: "
                "`--rejects`, rejects=True in Python.",
            )
        for index in np.flatnonzero(bad).tolist():
            self._quarantine.add(index, column, f"{problem}.")
        return bad


def _missing(column: pa.Array) -> np.ndarray:
    return np.asarray(column.is_null())


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def without_dictionary(column: pa.Array) -> pa.Array:
    """The column without a dictionary or a view."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column


def _bytes(column: pa.Array, index: int) -> bytes:
    value = column[index]
    return value.as_buffer().to_pybytes() if value.is_valid else b""


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(column: pa.Array, index: int) -> str | None:
    """A value for people to read, whatever it is."""
    value = without_dictionary(column.slice(index, 1))
    if not value.is_valid()[0].as_py():
        return None
    if _is_text(value.type):
        return _bytes(value, 0).decode("utf-8", "backslashreplace")
    return value.cast(pa.string())[0].as_py()


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
