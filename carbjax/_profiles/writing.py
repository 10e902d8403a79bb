"""carbjax's own format of a profile on disk: the columns of the table by their names."""

import contextlib
import json
import os
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from carbjax._errors import OutputError

QUARANTINE_KEY = b"carbjax_quarantined"
AVERAGED_KEY = b"carbjax_averaged"


def write_csv(path: str | os.PathLike[str], columns: Mapping[str, np.ndarray]) -> None:
    """Writes the columns; what is not known is an empty cell."""
    with _naming(path):
        pyarrow.csv.write_csv(_table(columns), path)


def write_parquet(
    path: str | os.PathLike[str],
    columns: Mapping[str, np.ndarray],
    quarantined: Mapping[str, int],
    averaged: int,
) -> None:
    """Writes the columns, and the counts in the metadata of the schema."""
    counts = {
        QUARANTINE_KEY: json.dumps(dict(quarantined)).encode(),
        AVERAGED_KEY: str(averaged).encode(),
    }
    with _naming(path):
        pyarrow.parquet.write_table(_table(columns).replace_schema_metadata(counts), path)


def _table(columns: Mapping[str, np.ndarray]) -> pa.Table:
    return pa.table(
        {
            name: pa.array(
                values.tolist() if values.dtype.kind == "U" else values, from_pandas=True
            )
            for name, values in columns.items()
        }
    )


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]):
    """Turns a failure of the disk into an error that names the file."""
    try:
        yield
    except OSError as cause:
        raise OutputError(
            f"the profile cannot be written ({cause}).",
            file=path,
            hint="Check the folder, its mode and the disk.",
        ) from None
