"""The backends of a fleet, and the files in which their requests stand."""

import dataclasses as dc
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from carbjax._errors import TraceError
from carbjax._ledger.columns import COLUMNS, Batch
from carbjax._ledger.schema import has_calendar, require_columns


class Backend(Protocol):
    """A server and its requests, which stand somewhere or are made on demand."""

    @property
    def name(self) -> str:
        """What the ledger calls it; unique."""
        ...

    @property
    def model(self) -> str | None:
        """The model that it serves, if the sources say."""
        ...

    @property
    def num_requests(self) -> int:
        """How many rows its trace has in all, also those that cannot be used."""
        ...

    @property
    def has_calendar(self) -> bool:
        """Whether arrivals are Unix seconds, not seconds from an unknown start."""
        ...

    @property
    def rejects(self) -> bool:
        """Whether rows that cannot be used are set aside, rather than an error."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The files that are read, for the manifest and to notice that one changed."""
        ...

    def batches(self, skip: int, size: int) -> Iterator[pa.Table]:
        """The rows of its trace after the first `skip`, about `size` at once.

        Tables have the columns `REQUESTS`, in order of arrival. Where rows are set aside
        they may also have those of `FAULTS`.
        """
        ...


@dc.dataclass(frozen=True)
class ParquetBackend:
    """A backend whose requests stand in Parquet files, one after the other."""

    name: str
    inputs: tuple[str, ...]
    rows: tuple[int, ...]  # of each file
    has_calendar: bool
    model: str | None = None
    rejects: bool = False

    @property
    def num_requests(self) -> int:
        return sum(self.rows)

    def batches(self, skip: int, size: int) -> Iterator[pa.Table]:
        """See `Backend`. Raises `TraceError`."""
        for file, rows in zip(self.inputs, self.rows, strict=True):
            if skip >= rows:
                skip -= rows
                continue
            for first_row, records in records_of(file, COLUMNS, skip, size):
                table = Batch(records, file, first_row, self.rejects).requests()
                skip_here = max(skip + 1 - first_row, 0)
                if skip_here < table.num_rows:
                    yield table.slice(skip_here)
            skip = 0

    @staticmethod
    def of(
        name: str, files: list[str], model: str | None = None, rejects: bool = False
    ) -> "ParquetBackend":
        """The backend whose requests stand in these files. Raises `TraceError`."""
        rows, calendars = [], []
        for file in files:
            reader = open_parquet(file)
            require_columns(reader.schema_arrow, file)
            calendars.append(has_calendar(reader.schema_arrow))
            rows.append(reader.metadata.num_rows)
            if calendars[-1] != calendars[0]:
                raise TraceError(
                    f"some files of backend {name!r} have time stamps, others seconds.",
                    file=file,
                    column="arrival",
                    hint="Write all of them alike.",
                )
        return ParquetBackend(name, tuple(files), tuple(rows), calendars[0], model, rejects)


@dc.dataclass(frozen=True)
class TableBackend:
    """A backend whose requests are in memory: those of a text trace."""

    name: str
    inputs: tuple[str, ...]
    requests: pa.Table
    has_calendar: bool
    model: str | None = None
    rejects: bool = False
    rows: tuple[int, ...] | None = None  # of the file, of each request, if known
    notes: tuple[str, ...] = ()  # what a reader of the ledger must know of the file

    @property
    def num_requests(self) -> int:
        return self.requests.num_rows

    def batches(self, skip: int, size: int) -> Iterator[pa.Table]:
        """See `Backend`."""
        for start in range(skip, self.num_requests, size):
            yield self.requests.slice(start, size)


def place_of(backend: Backend, row: int) -> tuple[str | None, int | None]:
    """File and its row of a request, as errors count it, as far as they are known."""
    if isinstance(backend, ParquetBackend):
        for file, rows in zip(backend.inputs, backend.rows, strict=True):
            if row < rows:
                return file, row + 1
            row -= rows
    rows = backend.rows if isinstance(backend, TableBackend) else None
    file = backend.inputs[0] if len(backend.inputs) == 1 else None
    return file, None if rows is None else rows[row]


def open_parquet(file: str) -> pq.ParquetFile:
    """The Parquet file. Raises `TraceError`."""
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError, UnicodeError) as cause:
        raise _unreadable(file, cause) from None


def records_of(
    file: str, columns: tuple[str, ...], skip: int, size: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """These columns, where there are such, from the row group of record `skip` on.

    About `size` records at once, with the number of the first, counted from 1.
    """
    reader = open_parquet(file)
    groups = [reader.metadata.row_group(i) for i in range(reader.num_row_groups)]
    ends = np.cumsum([group.num_rows for group in groups])
    first = int(np.searchsorted(ends, skip, side="right"))
    first_row = 1 + (int(ends[first - 1]) if first else 0)
    wanted = [name for name in columns if name in reader.schema_arrow.names]
    batches = reader.iter_batches(
        size, range(first, len(groups)), columns=wanted, use_threads=False
    )
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as cause:
            raise _unreadable(file, cause) from None
        if batch is None:
            return
        yield first_row, batch
        first_row += batch.num_rows


def _unreadable(file: str, cause: Exception) -> TraceError:
    reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    return TraceError(
        f"the Parquet file cannot be read ({reason}).", file=file, hint="Write it again."
    )
