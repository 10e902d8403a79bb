"""The backends of a fleet, and the files in which their requests stand."""

import dataclasses as dc
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Protocol
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from carbjax._errors import ConfigError, TraceError
from carbjax._ledger.columns import (
    has_calendar,
    requests_of,
    requests_of_workload,
    require_columns,
)
from carbjax._traces import read_trace

_PARQUET = b"PAR1"


class Backend(Protocol):
    """A server and its requests, which stand somewhere or are made on demand."""

    @property
    def name(self) -> str:
        """What the ledger calls it; unique."""
        ...

    @property
    def num_requests(self) -> int:
        """How many requests it has in all."""
        ...

    @property
    def has_calendar(self) -> bool:
        """Whether arrivals are Unix seconds, not seconds from an unknown start."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The files that are read, for the manifest and to notice that one changed."""
        ...

    def batches(self, skip: int, size: int) -> Iterator[pa.Table]:
        """Its requests after the first `skip`, about `size` at once.

        Tables have the columns `REQUESTS` and are in order of arrival.
        """
        ...


@dc.dataclass(frozen=True)
class ParquetBackend:
    """A backend whose requests stand in Parquet files, one after the other."""

    name: str
    inputs: tuple[str, ...]
    num_requests: int
    has_calendar: bool

    def batches(self, skip: int, size: int) -> Iterator[pa.Table]:
        """See `Backend`. Raises `TraceError` where arrivals go back."""
        last = -float("inf")
        for file in self.inputs:
            reader = open_parquet(file)
            rows = reader.metadata.num_rows
            if skip >= rows:
                skip -= rows
                continue
            first_row = 1
            for batch in reader.iter_batches(batch_size=size, use_threads=False):
                table = requests_of(batch, file, first_row)
                last = _require_order(table, last, file, first_row)
                first_row += table.num_rows
                if skip < table.num_rows:
                    yield table.slice(skip)
                skip = max(skip - table.num_rows, 0)


@dc.dataclass(frozen=True)
class TableBackend:
    """A backend whose requests are in memory: those of a text trace."""

    name: str
    inputs: tuple[str, ...]
    requests: pa.Table
    has_calendar: bool

    @property
    def num_requests(self) -> int:
        return self.requests.num_rows

    def batches(self, skip: int, size: int) -> Iterator[pa.Table]:
        """See `Backend`."""
        for start in range(skip, self.num_requests, size):
            yield self.requests.slice(start, size)


def find_backends(
    sources: Sequence[str | os.PathLike[str]],
    *,
    format: str | None = None,
    tz: str | None = None,
    tenants: str | None = None,
    spread: int | None = None,
) -> list[Backend]:
    """The backends of these files and folders, by name.

    In a folder, Parquet files below `backend=NAME` are that backend's, in the order of
    their paths, so `hour=2024-05-01T07` sorts them by time; others are of one backend
    each folder. A text trace is one backend, or `spread` of them that its requests
    go to in turn. Raises `TraceError`, `ConfigError`.
    """
    by_name: dict[str, list[str]] = {}
    found: list[Backend] = []
    for source in sources:
        path = pathlib.Path(source)
        if path.is_dir():
            _gather(path, by_name)
        elif _is_parquet(path):
            by_name.setdefault(path.stem, []).append(str(path))
        else:
            workload = read_trace(path, format, tz, tenants)
            table = requests_of_workload(workload)
            found += _spread(str(path), table, workload.epoch is not None, spread)
    if by_name and spread is not None:
        raise ConfigError(
            "`--backends` spreads text traces, and Parquet files are given.",
            hint="Partition them by backend: folders `backend=NAME`.",
        )
    found += [_parquet_backend(name, files) for name, files in by_name.items()]
    return _checked(found)


def open_parquet(file: str) -> pq.ParquetFile:
    """The Parquet file. Raises `TraceError`."""
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as cause:
        reason = str(cause).strip().splitlines()[0]
        raise TraceError(
            f"the Parquet file cannot be read ({reason}).",
            file=file,
            hint="Write it again.",
        ) from None


def _gather(folder: pathlib.Path, by_name: dict[str, list[str]]) -> None:
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise TraceError(
            "the folder has no Parquet files.",
            file=folder,
            hint="Name text traces one by one: `carbjax ledger A.csv B.csv --out DIR`.",
        )
    for file in files:
        parts = file.relative_to(folder).parts[:-1]
        keys = dict(part.split("=", 1) for part in parts if "=" in part)
        name = unquote(keys["backend"]) if "backend" in keys else _folder_name(file)
        by_name.setdefault(name, []).append(str(file))


def _folder_name(file: pathlib.Path) -> str:
    return file.resolve().parent.name


def _is_parquet(path: pathlib.Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_PARQUET)) == _PARQUET
    except OSError:
        return False  # the reader of traces says what is wrong with it


def _parquet_backend(name: str, files: list[str]) -> ParquetBackend:
    rows, calendars = 0, set()
    for file in files:
        reader = open_parquet(file)
        require_columns(reader.schema_arrow, file)
        if "backend" in reader.schema_arrow.names:
            raise TraceError(
                "the file has a column 'backend', so it holds several backends.",
                file=file,
                column="backend",
                hint="Partition by it: `pyarrow.dataset.write_dataset(table, folder, "
                "format='parquet', partitioning=['backend'], "
                "partitioning_flavor='hive')`.",
            )
        calendars.add(has_calendar(reader.schema_arrow))
        rows += reader.metadata.num_rows
    if len(calendars) > 1:
        raise TraceError(
            f"some files of backend {name!r} have time stamps, others seconds.",
            file=files[0],
            column="arrival",
            hint="Write all of them alike.",
        )
    return ParquetBackend(name, tuple(files), rows, calendars.pop())


def _spread(
    file: str, table: pa.Table, calendar: bool, spread: int | None
) -> list[Backend]:
    name = pathlib.Path(file).name
    if spread is None:
        return [TableBackend(name, (file,), table, calendar)]
    width = len(str(spread - 1))
    return [
        TableBackend(f"{name}/{i:0{width}d}", (file,), _every(table, i, spread), calendar)
        for i in range(spread)
        if i < table.num_rows
    ]


def _every(table: pa.Table, first: int, step: int) -> pa.Table:
    return table.take(pa.array(range(first, table.num_rows, step)))


def _require_order(table: pa.Table, last: float, file: str, first_row: int) -> float:
    """The last arrival. Raises `TraceError` where an arrival is before the one above it."""
    arrival = table.column("arrival_s").to_numpy()
    if len(arrival) == 0:
        return last
    before = [last, *arrival[:-1]]
    back = (arrival < before).nonzero()[0]
    if len(back):
        raise TraceError(
            "the request arrived before the one above it.",
            file=file,
            row=first_row + int(back[0]),
            column="arrival",
            hint="Sort each backend's requests by arrival; files follow one another in "
            "the order of their paths.",
        )
    return float(arrival[-1])


def _checked(backends: list[Backend]) -> list[Backend]:
    backends = sorted(backends, key=lambda b: b.name)
    names = [b.name for b in backends]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(
            f"two sources make a backend {min(twice)!r}.", hint="Rename one of the files."
        )
    if not sum(b.num_requests for b in backends):
        raise TraceError("there are no requests in the sources.", hint="Give some.")
    calendars = {b.has_calendar for b in backends if b.num_requests}
    if len(calendars) > 1:
        raise ConfigError(
            "some backends have time stamps, others seconds from an unknown start.",
            hint="Make a ledger of each kind.",
        )
    return [b for b in backends if b.num_requests]
