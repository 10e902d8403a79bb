"""Numbers and labels of a table's columns, checked, with the first bad row named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from carbjax._traces.columns import Table
from carbjax._units import INT32_MAX

_HEXADECIMAL = "^[+-]?0[xX]"
_WHOLE = f"Give whole numbers from 0 to {INT32_MAX}."


def whole_counts(table: Table, column: str) -> Int[np.ndarray, " rows"]:
    """Whole numbers from 0 to 2^31 - 1, or the table's error; 0 for rows set aside."""
    values = present(table, column)
    if _is_text(values):
        values = _require_decimal(table, column, values)
        try:
            counts = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            counts = _floats(table, column, values)
    else:
        counts = _floats(table, column, values)
    good = np.ones(len(counts), bool)
    for what, bad in (
        ("not finite", ~np.isfinite(counts)),
        ("negative", counts < 0),
        ("not a whole number", counts != np.floor(counts)),
        (f"beyond {INT32_MAX}", counts > INT32_MAX),
    ):
        _refuse(table, column, what, bad, _WHOLE)
        good &= ~bad
    return np.where(good, counts, 0).astype(np.int64)


def numbers(table: Table, column: str) -> Float[np.ndarray, " rows"]:
    """Finite numbers, or the table's error; 0 for rows set aside."""
    values = _floats(table, column, present(table, column))
    finite = np.isfinite(values)
    _refuse(table, column, "not finite", ~finite, "Give finite numbers.")
    return np.where(finite, values, 0.0)


def numbers_or_nan(table: Table, column: str) -> Float[np.ndarray, " rows"]:
    """Numbers, NaN where the column has no value."""
    values = _trimmed(table.columns[column])
    if _is_text(values):
        values = pa.array([value or None for value in values.to_pylist()], pa.string())
    return _floats(table, column, values)


def labels(table: Table, column: str) -> list[str]:
    """Names, none of them empty, or the table's error; none for rows set aside."""
    values = present(table, column)
    try:
        return values.cast(pa.string()).to_pylist()
    except pa.ArrowException:
        raise table.fail(
            f"the column holds {values.type}.", column=column, hint="Give text or numbers."
        ) from None


def present(table: Table, column: str) -> pa.Array:
    """The values of a column without the space around them; none may be absent.

    Those of rows set aside are null.
    """
    values = _trimmed(table.columns[column])
    absent = values.is_null().to_numpy(zero_copy_only=False)
    if _is_text(values):
        absent = absent | matches(values, "^$")
    return refused(
        table, column, values, absent, lambda _: "there is no value.", "Fill it in."
    )


def refused(
    table: Table,
    column: str,
    values: pa.Array,
    bad: Bool[np.ndarray, " rows"],
    problem: Callable[[int], str],
    hint: str,
) -> pa.Array:
    """The values, null where they are bad and set aside."""
    table.refuse(bad, column, problem, hint)
    if not bad.any():
        return values
    nothing = pa.scalar(None, values.type)
    return pc.call_function("if_else", [pa.array(~bad), values, nothing])


def converted(
    table: Table,
    column: str,
    values: pa.Array,
    convert: Callable[[pa.Array], Any],
    problem: Callable[[int], str],
    hint: str,
) -> Any:
    """What `convert` makes of the values; those that it refuses are the table's error.

    It must refuse with an Arrow exception, and keep nulls.
    """
    try:
        return convert(values)
    except pa.ArrowException:
        bad = np.zeros(len(values), bool)
        if table.quarantine is None:
            bad[first_failure(values, convert)] = True
        else:
            bad[_failures(values, convert)] = True
        return convert(refused(table, column, values, bad, problem, hint))


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


def _failures(values: pa.Array, convert: Callable[[pa.Array], object]) -> list[int]:
    """Indices of all values that `convert` refuses."""
    try:
        convert(values)
        return []
    except pa.ArrowException:
        middle = len(values) // 2
        if middle == 0:
            return [0]
    later = _failures(values.slice(middle), convert)
    return _failures(values.slice(0, middle), convert) + [middle + i for i in later]


def matches(values: pa.Array, pattern: str) -> Bool[np.ndarray, " rows"]:
    """Which texts match a regular expression; null does not."""
    options = pc.MatchSubstringOptions(pattern)
    found = pc.call_function("match_substring_regex", [values], options)
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)


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


def _floats(table: Table, column: str, values: pa.Array) -> Float[np.ndarray, " rows"]:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    if not _is_text(values) and not any(kind(values.type) for kind in kinds):
        raise table.fail(
            f"the column holds {values.type}, not numbers.",
            column=column,
            hint="Give numbers.",
        )
    floats = converted(
        table,
        column,
        values,
        lambda some: some.cast(pa.float64(), safe=False),
        lambda index: f"{table.shown(column, index)!r} is not a number.",
        "Give numbers. Is the line cut short?",
    )
    return floats.to_numpy(zero_copy_only=False).astype(np.float64)


def _require_decimal(table: Table, column: str, values: pa.Array) -> pa.Array:
    # pyarrow takes 0x10 for 16.
    return refused(
        table,
        column,
        values,
        matches(values, _HEXADECIMAL),
        lambda index: f"{table.shown(column, index)!r} is not a decimal number.",
        "Give decimal digits.",
    )


def _refuse(table: Table, column: str, what: str, bad: np.ndarray, hint: str) -> None:
    def problem(index: int) -> str:
        shown = table.shown(column, index)
        return f"{shown} is {what}."

    if table.quarantine is not None:
        # NaN stands for what was set aside before.
        nulls = [i for i in np.flatnonzero(bad) if int(i) in table.quarantine.faults]
        bad = bad.copy()
        bad[nulls] = False
    table.refuse(bad, column, problem, hint)
