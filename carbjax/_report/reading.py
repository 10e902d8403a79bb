"""The folder of an evaluation, or one clear error about the file that is wrong."""

import json
import math
import os
import pathlib
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet
from pydantic import TypeAdapter, ValidationError

from carbjax._errors import InputError
from carbjax._report.record import (
    CRITERIA,
    STATUSES,
    About,
    CurvePoint,
    Evaluation,
    Example,
    Number,
    ScalePoint,
)

FORMAT = 1

Row = TypeVar("Row")

_AGAIN = "Run `carbjax evaluate` with the same configuration again."
_TEXT, _REAL, _WHOLE = pa.string(), pa.float64(), pa.int64()
_NUMBER_COLUMNS = {
    **dict.fromkeys(("criterion", "method", "quantity", "unit", "group"), _TEXT),
    "workload": _WHOLE,
    **dict.fromkeys(("value", "lower", "upper", "level"), _REAL),
    "num_values": _WHOLE,
    **dict.fromkeys(("status", "reason"), _TEXT),
}
_CURVE_COLUMNS = {
    **dict.fromkeys(("method", "part"), _TEXT),
    **dict.fromkeys(("tokens", "reward", "lower", "upper"), _REAL),
}
_SCALE_COLUMNS = {
    **dict.fromkeys(("method", "axis"), _TEXT),
    "size": _WHOLE,
    **dict.fromkeys(("seconds", "compile_s"), _REAL),
    "peak_bytes": _WHOLE,
}
_OPTIONAL = {"group", "workload", "num_values", "reason", "peak_bytes"}


def read_evaluation(folder: str | os.PathLike[str]) -> Evaluation:
    """What `carbjax evaluate` wrote into `folder`.

    Raises `InputError` naming file and column where the folder, a file or a column is
    missing, cut short or of another format version. curves.parquet, scaling.parquet and
    examples.json may be absent.
    """
    root = pathlib.Path(folder)
    _require_folder(root)
    about = _about(root / "evaluation.json")
    numbers = _rows(root / "results.parquet", _NUMBER_COLUMNS, Number)
    _require_known(root / "results.parquet", numbers)
    return Evaluation(
        about=about,
        numbers=tuple(numbers),
        curves=_if_there(root / "curves.parquet", _CURVE_COLUMNS, CurvePoint),
        scaling=_if_there(root / "scaling.parquet", _SCALE_COLUMNS, ScalePoint),
        examples=_examples(root / "examples.json"),
    )


def _require_folder(root: pathlib.Path) -> None:
    hint = "Give the folder that `carbjax evaluate` wrote."
    if not root.exists():
        raise InputError("there is no such folder.", file=root, hint=hint)
    if not root.is_dir():
        raise InputError("this is a file.", file=root, hint=hint)
    missing = [
        name
        for name in ("evaluation.json", "results.parquet")
        if not (root / name).is_file()
    ]
    if missing and (root / "parts").is_dir():
        hint = f"The evaluation was not finished. {_AGAIN}"
    if missing:
        raise InputError(f"{missing[0]!r} is not in the folder.", file=root, hint=hint)


def _about(path: pathlib.Path) -> About:
    content = _json(path)
    if not isinstance(content, dict):
        raise InputError("this is not an object.", file=path, hint=_AGAIN)
    if content.get("format") != FORMAT:
        raise InputError(
            f"format is {content.get('format')!r}; this carbjax reads {FORMAT}.",
            file=path,
            column="format",
            hint="Use the carbjax that wrote it, or evaluate again with this one.",
        )
    return _checked(TypeAdapter(About), content, path)


def _examples(path: pathlib.Path) -> tuple[Example, ...] | None:
    if not path.is_file():
        return None
    return tuple(_checked(TypeAdapter(list[Example]), _json(path), path))


def _checked(adapter: TypeAdapter, content: Any, path: pathlib.Path) -> Any:
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or None
        problem = first["msg"][:1].lower() + first["msg"][1:]
        raise InputError(f"{problem}.", file=path, column=key, hint=_AGAIN) from None


def _json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        reason = getattr(cause, "strerror", None) or "it is not whole JSON"
        raise InputError(f"cannot be read ({reason}).", file=path, hint=_AGAIN) from None


def _if_there(
    path: pathlib.Path, columns: dict[str, pa.DataType], kind: type[Row]
) -> tuple[Row, ...] | None:
    return tuple(_rows(path, columns, kind)) if path.is_file() else None


def _rows(
    path: pathlib.Path, columns: dict[str, pa.DataType], kind: type[Row]
) -> list[Row]:
    """A `kind` of each row; null is NaN in a column of real numbers."""
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowException) as cause:
        reason = getattr(cause, "strerror", None) or "it is not a whole Parquet file"
        raise InputError(f"cannot be read ({reason}).", file=path, hint=_AGAIN) from None
    values = {name: _column(path, table, name, t) for name, t in columns.items()}
    return [kind(*row) for row in zip(*values.values(), strict=True)]


def _column(
    path: pathlib.Path, table: pa.Table, name: str, wanted: pa.DataType
) -> list[Any]:
    if name not in table.column_names:
        raise InputError("this column is missing.", file=path, column=name, hint=_AGAIN)
    column = table.column(name)
    try:
        values = column.cast(wanted).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError):
        raise InputError(
            f"this column holds {column.type}, not {wanted}.",
            file=path,
            column=name,
            hint=_AGAIN,
        ) from None
    if wanted == _REAL:
        return [math.nan if value is None else value for value in values]
    if None in values and name not in _OPTIONAL:
        raise InputError(
            f"entry {values.index(None)} is null.", file=path, column=name, hint=_AGAIN
        )
    return values


def _require_known(path: pathlib.Path, numbers: list[Number]) -> None:
    if not numbers:
        raise InputError("it holds no numbers.", file=path, hint=_AGAIN)
    for column, allowed in (("criterion", CRITERIA), ("status", STATUSES)):
        for i, number in enumerate(numbers):
            if getattr(number, column) not in allowed:
                raise InputError(
                    f"entry {i} is {getattr(number, column)!r}.",
                    file=path,
                    column=column,
                    hint=f"Known are {', '.join(allowed)}. {_AGAIN}",
                )
