"""Request ids that the files of a backend tell twice, found in constant memory."""

import dataclasses as dc
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from carbjax._ledger.backends import Backend, ParquetBackend, records_of
from carbjax._ledger.columns import without_dictionary

_COLUMN = "request_id"
_READ_AT_ONCE = 65_536
_HASHED_AT_ONCE = 2**24  # ids; more are read as often as it takes


@dc.dataclass(frozen=True)
class Repeats:
    """Rows of a backend's trace whose id an earlier row has, in order; and that row."""

    row: Int[np.ndarray, " repeats"]
    first: Int[np.ndarray, " repeats"]

    def among(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Those from row `start` to before row `stop`."""
        low, high = np.searchsorted(self.row, [start, stop])
        yield from zip(self.row[low:high].tolist(), self.first[low:high].tolist())


def find_repeats(backend: Backend, *, at_once: int = _HASHED_AT_ONCE) -> Repeats:
    """Every row of the backend whose request id stands in a row before it.

    Ids are compared over all files of a backend that is read from Parquet; nothing is
    known of others, and rows without an id repeat nothing. Memory does not grow with the
    trace, but with the ids that are repeated.
    """
    found: list[tuple[int, int]] = []
    if isinstance(backend, ParquetBackend):
        parts = -(-backend.num_requests // at_once)
        for part in range(parts):
            suspects = _suspects(backend, part, parts)
            if len(suspects):
                found += _repeated(backend, suspects)
    pairs = np.array(sorted(found), np.int64).reshape(-1, 2)
    return Repeats(pairs[:, 0], pairs[:, 1])


def _suspects(backend: ParquetBackend, part: int, parts: int) -> np.ndarray:
    """Hashes of a part of all that more than one row has."""
    chunks = [np.zeros(0, np.int64)]
    for _, _, hashes in _hashed(backend):
        chunks.append(hashes[hashes % parts == part])
    hashes = np.concatenate(chunks)
    hashes.sort()
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def _repeated(backend: ParquetBackend, suspects: np.ndarray) -> Iterator[tuple[int, int]]:
    """Row, and first row with the same id, among ids with one of these hashes."""
    seen: dict[bytes, int] = {}
    for place, ids, hashes in _hashed(backend):
        for index in np.flatnonzero(np.isin(hashes, suspects)).tolist():
            row = int(place[index])
            first = seen.setdefault(ids[index], row)
            if first != row:
                yield row, first


def _hashed(
    backend: ParquetBackend,
) -> Iterator[tuple[np.ndarray, list[bytes], np.ndarray]]:
    """Places, ids and their hashes, of the rows that have an id."""
    start = 0
    for file, rows in zip(backend.inputs, backend.rows, strict=True):
        for first_row, records in records_of(file, (_COLUMN,), 0, _READ_AT_ONCE):
            if _COLUMN not in records.schema.names:
                break
            column = without_dictionary(records.column(_COLUMN))
            known = np.flatnonzero(np.asarray(column.is_valid()))
            ids = column.drop_null().cast(pa.string()).cast(pa.binary()).to_pylist()
            hashes = np.fromiter(map(hash, ids), np.int64, len(ids))
            yield start + first_row - 1 + known, ids, hashes
        start += rows
