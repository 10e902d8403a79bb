"""The columns of a file of JSON lines, as text, and whole JSON documents."""

import json
from collections.abc import Iterator

import pyarrow as pa

from carbjax._errors import InputError
from carbjax._traces.columns import Table
from carbjax._traces.rejects import Quarantine
from carbjax._traces.source import Source


def json_table(source: Source, quarantine: Quarantine | None = None) -> Table:
    """The columns of the objects; lines that are none are an error, or set aside."""
    records, rows = [], []
    for row, line in _lines(source):
        try:
            records.append(_json_object(source, row, line))
            rows.append(row)
        except InputError as error:
            if quarantine is None:
                raise
            quarantine.add_line(row, error.problem, line)
    names = dict.fromkeys(name for record in records for name in record)
    columns = {
        name: pa.array([_scalar(record.get(name)) for record in records], pa.string())
        for name in names
    }
    return Table(
        source.file,
        columns,
        len(records),
        rows.__getitem__,
        None,
        source.error,
        quarantine,
    )


def documents(source: Source) -> list[dict[str, object]]:
    """The JSON objects of a file: one that spans it, or one a line.

    Numbers stay text. Raises the source's error at the first line that is no object.
    """
    try:
        whole = _parsed(source.data.decode("utf-8"))
        if isinstance(whole, dict):
            return [whole]
    except (ValueError, RecursionError):
        pass
    return [_json_object(source, row, line) for row, line in _lines(source)]


def first_keys(source: Source) -> frozenset[str]:
    """The names in the first object of a file; none where it cannot be told."""
    if not source.is_json:
        return frozenset()
    first = next((line for _, line in _lines(source)), "")
    for text in (first, source.data.decode("utf-8")):
        try:
            found = _parsed(text)
        except (ValueError, RecursionError):
            continue
        return frozenset(found) if isinstance(found, dict) else frozenset()
    return frozenset()


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    for row, line in enumerate(source.data.decode("utf-8").split("\n"), start=1):
        if line.strip():
            yield row, line


def _parsed(text: str) -> object:
    # Numbers stay text: they are checked and converted like those of a CSV.
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)


def _json_object(source: Source, row: int, line: str) -> dict[str, object]:
    try:
        record = _parsed(line)
    except (json.JSONDecodeError, RecursionError) as cause:
        raise source.fail(
            f"the line is not JSON ({cause}).",
            row=row,
            hint="Give one object a line. Is the line or the file cut short?",
        ) from None
    if not isinstance(record, dict):
        raise source.fail(
            "the line is not a JSON object.", row=row, hint="Give one object a line."
        )
    if "\\u" in line:
        _require_unicode(source, row, record)
    return record


def _require_unicode(source: Source, row: int, record: dict[str, object]) -> None:
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise source.fail(
            "the line holds half a character (a lone surrogate).",
            row=row,
            hint="Write it as UTF-8.",
        ) from None


def _scalar(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return "{…}" if isinstance(value, dict) else "[…]"
