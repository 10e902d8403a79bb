"""Columns of a CSV, JSON lines or Parquet file, with the place of each value kept."""

import csv
import dataclasses
import difflib
import functools
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from carbjax._errors import InputError
from carbjax._traces.source import Source

_LISTED = 20
# A short command may end while pyarrow's threads still start: the process then aborts.
_USE_THREADS = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of equal length; text files yield strings, Parquet its own types."""

    file: str
    columns: dict[str, pa.Array]
    num_rows: int
    row_of: Callable[[int], int]  # index of a record -> line of the file, from 1
    header_row: int | None  # line that names the columns
    error: type[InputError]

    def fail(
        self,
        problem: str,
        index: int | None = None,
        column: str | None = None,
        hint: str | None = None,
    ) -> InputError:
        """The error that names the file, the row of record `index` and the column."""
        row = None if index is None else self.row_of(index)
        return self.error(problem, file=self.file, row=row, column=column, hint=hint)

    def shown(self, column: str, index: int) -> str:
        """The value as text, for an error about it."""
        value = self.columns[column].slice(index, 1)
        if pa.types.is_dictionary(value.type):
            value = value.dictionary_decode()
        return value.cast(pa.string())[0].as_py().strip()

    def require(self, names: Iterable[str], optional: Iterable[str] = ()) -> None:
        """Nothing, if the columns are `names` and some of `optional`; else raises."""
        names, optional = tuple(names), tuple(optional)
        surplus = [c for c in self.columns if c not in names and c not in optional]
        for name in names:
            if name not in self.columns:
                raise self.missing(name, surplus)
        if surplus:
            unused = [c for c in optional if c not in self.columns]
            near = _near(surplus[0], unused)
            raise self.error(
                "this column is not known.",
                file=self.file,
                row=self.header_row,
                column=surplus[0],
                hint=f"Is it {near!r}?"
                if near
                else f"Known are {listed(dict.fromkeys([*names, *optional]))}.",
            )

    def missing(self, name: str, unused: Iterable[str]) -> InputError:
        """The error that column `name` is missing; one of `unused` may be it, misspelt."""
        near = _near(name, unused)
        return self.error(
            "this column is missing.",
            file=self.file,
            row=self.header_row,
            column=name,
            hint=f"Is it {near!r}?" if near else f"The file has {listed(self.columns)}.",
        )


def read_table(source: Source) -> Table:
    """The columns of a file; its kind is recognised from the content."""
    if source.is_parquet:
        return _parquet(source)
    return _json_lines(source) if source.is_json else _csv(source)


def _parquet(source: Source) -> Table:
    try:
        table = pyarrow.parquet.read_table(
            pa.BufferReader(source.data), use_threads=_USE_THREADS
        )
    except (pa.ArrowException, OSError) as cause:
        raise source.fail(
            f"the Parquet content is damaged ({_first_line(cause)}).",
            hint="Write it again.",
        ) from None
    columns = {
        name: column.combine_chunks()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return Table(
        source.file, columns, table.num_rows, lambda index: index + 1, None, source.error
    )


def _csv(source: Source) -> Table:
    header = _header(source)
    if source.data.count(b'"') % 2:
        _refuse_open_quote(source)
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(source.data + b"\n"),  # a header alone may lack its own
            pyarrow.csv.ReadOptions(
                use_threads=_USE_THREADS, column_names=header, skip_rows_after_names=1
            ),
            pyarrow.csv.ParseOptions(newlines_in_values=b'"' in source.data),
            pyarrow.csv.ConvertOptions(column_types={c: pa.string() for c in header}),
        )
    except pa.ArrowInvalid as cause:
        raise _malformed(source, len(header), cause) from None
    columns = {name: table[name].combine_chunks() for name in header}
    lines = functools.cache(lambda: [row for row, _ in _records(source)][1:])
    return Table(
        source.file, columns, table.num_rows, lambda i: lines()[i], 1, source.error
    )


def _header(source: Source) -> list[str]:
    row, fields = next(_records(source))
    header = [name.strip() for name in fields]
    for i, name in enumerate(header):
        if name in header[:i]:
            raise source.error(
                "two columns have this name.", file=source.file, row=row, column=name
            )
    return header


def _records(source: Source, strict: bool = False) -> Iterator[tuple[int, Sequence[str]]]:
    """Each record that is not blank, with the line on which it starts."""
    text = io.StringIO(source.data.decode("utf-8"), newline="")
    reader = csv.reader(text, strict=strict)
    start = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as cause:
            raise source.fail(
                f"the line is malformed ({cause}).",
                row=start,
                hint="Is a quote not closed?",
            ) from None
        if fields:
            yield start, fields
        start = reader.line_num + 1


def _refuse_open_quote(source: Source) -> None:
    # pyarrow takes all that follows a quote that is never closed for one value.
    for _ in _records(source, strict=True):
        pass


def _malformed(source: Source, width: int, cause: Exception) -> InputError:
    for row, fields in _records(source, strict=True):
        if len(fields) != width:
            return source.fail(
                f"the line has {len(fields)} values, the header {width}.",
                row=row,
                hint="Is the line or the file cut short?",
            )
    return source.fail(f"the CSV is malformed ({_first_line(cause)}).")


def _json_lines(source: Source) -> Table:
    records, rows = [], []
    for row, line in enumerate(source.data.decode("utf-8").split("\n"), start=1):
        if line.strip():
            records.append(_json_object(source, row, line))
            rows.append(row)
    names = dict.fromkeys(name for record in records for name in record)
    columns = {
        name: pa.array([_scalar(record.get(name)) for record in records], pa.string())
        for name in names
    }
    return Table(source.file, columns, len(records), rows.__getitem__, None, source.error)


def _json_object(source: Source, row: int, line: str) -> dict[str, object]:
    # Numbers stay text: they are checked and converted like those of a CSV.
    try:
        record = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
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
    return record


def _scalar(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return "{…}" if isinstance(value, dict) else "[…]"


def _near(name: str, names: Iterable[str]) -> str | None:
    lower = {candidate.lower(): candidate for candidate in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    return lower[near[0]] if near else None


def listed(names: Iterable[str]) -> str:
    """Names for a message, the first of them where there are many."""
    names = list(names)
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _first_line(cause: Exception) -> str:
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__
