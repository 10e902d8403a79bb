"""What the names of folders, and a constant column, say of the files below."""

import os
import pathlib
from collections.abc import Sequence
from urllib.parse import unquote

import pyarrow.parquet as pq

from carbjax._errors import ConfigError, TraceError
from carbjax._ledger.backends import open_parquet, records_of
from carbjax._ledger.columns import without_dictionary

_MODEL = "model"
_READ_AT_ONCE = 65_536


def key_of(file: str | os.PathLike[str], key: str) -> str | None:
    """The value of `key=value` among the folders above a file; of several the nearest."""
    found = [part for part in pathlib.Path(file).parts[:-1] if part.startswith(f"{key}=")]
    return readable(unquote(found[-1].split("=", 1)[1])) if found else None


def readable(name: str) -> str:
    """The name as text, whatever bytes a file system lets it have."""
    return name.encode("utf-8", "backslashreplace").decode()


def model_of(backend: str, files: Sequence[str]) -> str | None:
    """The model that a backend serves, None where nothing says.

    Raises `ConfigError` and `TraceError` where its files say several.
    """
    known: dict[str | None, str] = {}
    for file in files:
        known.setdefault(_model_in(file), file)
    if len(known) > 1:
        first, second, *_ = ("no model" if m is None else repr(m) for m in known)
        raise ConfigError(
            f"backend {backend!r} serves {second} here, and {first} before.",
            file=list(known.values())[1],
            hint="A backend serves one model: give each its own `backend=NAME`.",
        )
    return next(iter(known), None)


def _model_in(file: str) -> str | None:
    reader = open_parquet(file)
    above = key_of(file, _MODEL)
    if _MODEL not in reader.schema_arrow.names:
        return above
    for name in _models_told(reader, file):
        if above is not None and name != above:
            raise _several(file, name, above)
        above = name
    return above


def _models_told(reader: pq.ParquetFile, file: str) -> list[str]:
    """The models of a file's column: one, but for an error to come."""
    bounds = [_bounds(reader, group) for group in range(reader.num_row_groups)]
    if all(low is not None and low == high for low, high in bounds):
        return sorted({str(low) for low, _ in bounds})
    found: set[str | None] = set()
    for _, records in records_of(file, (_MODEL,), 0, _READ_AT_ONCE):
        found |= set(without_dictionary(records.column(_MODEL)).unique().to_pylist())
    if None in found:
        raise TraceError(
            "there are rows without a model.", file=file, column=_MODEL, hint="Fill it in."
        )
    return sorted(map(str, found))


def _bounds(reader: pq.ParquetFile, group: int) -> tuple[object, object]:
    """The least and the greatest model of a row group, where the file tells them."""
    content = reader.metadata.row_group(group)
    place = reader.schema.names.index(_MODEL)
    known = content.column(place).statistics
    if known is None or not known.has_min_max or known.null_count:
        return None, None
    return known.min, known.max


def _several(file: str, one: str, other: str) -> TraceError:
    return TraceError(
        f"there are the models {one!r} and {other!r}, and a backend serves one.",
        file=file,
        column=_MODEL,
        hint="Partition by it: `pyarrow.dataset.write_dataset(table, folder, "
        "format='parquet', partitioning=['model', 'backend'], "
        "partitioning_flavor='hive')`.",
    )
