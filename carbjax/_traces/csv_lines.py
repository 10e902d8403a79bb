"""The columns of a CSV file, as text."""

import csv
import functools
import io
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv

from carbjax._errors import InputError
from carbjax._traces.columns import Table
from carbjax._traces.rejects import Quarantine
from carbjax._traces.source import Source

# A short command may end while pyarrow's threads still start: the process then aborts.
_USE_THREADS = False


def csv_table(source: Source, quarantine: Quarantine | None = None) -> Table:
    """The columns of the file; lines of another length are an error, or set aside."""
    header = _header(source)
    if source.data.count(b'"') % 2:
        _refuse_open_quote(source)
    table, num_ragged = _read(source, header, quarantine is not None)
    columns = {name: table[name].combine_chunks() for name in header}
    if num_ragged and quarantine is not None:
        _set_aside(source, len(header), quarantine)

    @functools.cache
    def lines() -> list[int]:
        return _lines(source, table.num_rows, len(header) if num_ragged else None)

    if num_ragged:
        lines()
    return Table(
        source.file,
        columns,
        table.num_rows,
        lambda index: lines()[index],
        1,
        source.error,
        quarantine,
    )


def _read(source: Source, header: list[str], skips: bool) -> tuple[pa.Table, int]:
    """The records as text, and how many of another length were left out, if it `skips`."""
    ragged: list[object] = []

    def skip(row: object) -> str:
        ragged.append(row)
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            # Blank lines before the header would be skipped in its place; a header
            # alone may lack its line end.
            pa.BufferReader(source.data.lstrip(b"\r\n") + b"\n"),
            pyarrow.csv.ReadOptions(
                use_threads=_USE_THREADS, column_names=header, skip_rows_after_names=1
            ),
            pyarrow.csv.ParseOptions(
                newlines_in_values=b'"' in source.data,
                invalid_row_handler=skip if skips else None,
            ),
            pyarrow.csv.ConvertOptions(column_types={c: pa.string() for c in header}),
        )
    except pa.ArrowInvalid as cause:
        raise _malformed(source, len(header), cause) from None
    return table, len(ragged)


def _lines(source: Source, expected: int, width: int | None) -> list[int]:
    """The line of each record, of those with `width` values if it is given."""
    records = _records(source)
    rows = [row for row, fields in records if width is None or len(fields) == width][1:]
    if len(rows) != expected:
        hint = "Write the CSV again."
        raise source.fail("its lines cannot be told apart.", hint=hint)
    return rows


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


def _set_aside(source: Source, width: int, quarantine: Quarantine) -> None:
    for row, fields in _records(source):
        if len(fields) != width:
            quarantine.add_line(row, _ragged(len(fields), width), ",".join(fields))


def _malformed(source: Source, width: int, cause: Exception) -> InputError:
    for row, fields in _records(source, strict=True):
        if len(fields) != width:
            return source.fail(
                _ragged(len(fields), width),
                row=row,
                hint="Is the line or the file cut short?",
            )
    return source.fail(f"the CSV is malformed ({first_line(cause)}).")


def _ragged(found: int, width: int) -> str:
    return f"the line has {found} values, the header {width}."


def first_line(cause: Exception) -> str:
    """The first line of what an exception says, or its kind."""
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__
