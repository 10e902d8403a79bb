"""Numbers and labels of a table's columns, checked, with the first bad row named."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int

from carbjax._traces.table import Table
from carbjax._units import INT32_MAX

_HEXADECIMAL = "^[+-]?0[xX]"


def whole_counts(table: Table, column: str) -> Int[np.ndarray, " rows"]:
    """Whole numbers from 0 to 2^31 - 1, or the table's error."""
    values = present(table, column)
    if _is_text(values):
        _require_decimal(table, column, values)
        try:
            counts = values.cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid:
            counts = _floats(table, column, values)
    else:
        counts = _floats(table, column, values)
    hint = f"Give whole numbers from 0 to {INT32_MAX}."
    _refuse(table, column, "not finite", ~np.isfinite(counts), hint)
    _refuse(table, column, "negative", counts < 0, hint)
    _refuse(table, column, "not a whole number", counts != np.floor(counts), hint)
    _refuse(table, column, f"beyond {INT32_MAX}", counts > INT32_MAX, hint)
    return counts.astype(np.int64)


def numbers(table: Table, column: str) -> Float[np.ndarray, " rows"]:
    """Finite numbers, or the table's error."""
    values = _floats(table, column, present(table, column))
    _refuse(table, column, "not finite", ~np.isfinite(values), "Give finite numbers.")
    return values


def numbers_or_nan(table: Table, column: str) -> Float[np.ndarray, " rows"]:
    """Numbers, NaN where the column has no value."""
    values = _trimmed(table.columns[column])
    if _is_text(values):
        values = pa.array([value or None for value in values.to_pylist()], pa.string())
    filled = _floats(table, column, values.drop_null(), values)
    numbers = np.full(table.num_rows, np.nan)
    numbers[values.is_valid().to_numpy(zero_copy_only=False)] = filled
    return numbers


def labels(table: Table, column: str) -> list[str]:
    """Names, none of them empty, or the table's error."""
    values = present(table, column)
    try:
        return values.cast(pa.string()).to_pylist()
    except pa.ArrowException:
        raise table.fail(
            f"the column holds {values.type}.", column=column, hint="Give text or numbers."
        ) from None


def present(table: Table, column: str) -> pa.Array:
    """The values of a column without the space around them; none may be absent."""
    values = _trimmed(table.columns[column])
    nulls = pc.index(values.is_null(), True).as_py()
    blanks = pc.index(values, "").as_py() if _is_text(values) else -1
    absent = [index for index in (nulls, blanks) if index >= 0]
    if absent:
        raise table.fail("there is no value.", min(absent), column, hint="Fill it in.")
    return values


def first_failure(values: pa.Array, convert: Callable[[pa.Array], object]) -> int:
    """Index of the first value that `convert` refuses, given that it refuses one."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(values.slice(low, middle - low))
            low = middle
        except pa.ArrowException:
            high = middle
    return low


def _trimmed(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if not _is_text(values):
        return values
    return pc.call_function("utf8_trim_whitespace", [values])


def _is_text(values: pa.Array) -> bool:
    return pa.types.is_string(values.type)


def _floats(
    table: Table, column: str, values: pa.Array, whole_column: pa.Array | None = None
) -> Float[np.ndarray, " rows"]:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    if not _is_text(values) and not any(kind(values.type) for kind in kinds):
        raise table.fail(
            f"the column holds {values.type}, not numbers.",
            column=column,
            hint="Give numbers.",
        )

    def convert(some: pa.Array) -> pa.Array:
        return some.cast(pa.float64(), safe=False)

    try:
        return convert(values).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        every = values if whole_column is None else whole_column
        index = first_failure(every, convert)
        raise table.fail(
            f"{table.shown(column, index)!r} is not a number.",
            index,
            column,
            hint="Give numbers. Is the line cut short?",
        ) from None


def _require_decimal(table: Table, column: str, values: pa.Array) -> None:
    # pyarrow takes 0x10 for 16.
    pattern = pc.MatchSubstringOptions(_HEXADECIMAL)
    hexadecimal = pc.call_function("match_substring_regex", [values], pattern)
    index = pc.index(hexadecimal, True).as_py()
    if index >= 0:
        raise table.fail(
            f"{table.shown(column, index)!r} is not a decimal number.",
            index,
            column,
            hint="Give decimal digits.",
        )


def _refuse(table: Table, column: str, what: str, bad: np.ndarray, hint: str) -> None:
    if bad.any():
        index = int(np.flatnonzero(bad)[0])
        shown = table.shown(column, index)
        raise table.fail(f"{shown} is {what}.", index, column, hint=hint)
