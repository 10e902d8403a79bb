"""carbjax's own format of a profile on disk: the columns of the table by their names."""

import json
import os
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from carbjax._files import replacing

QUARANTINE_KEY = b"carbjax_quarantined"
AVERAGED_KEY = b"carbjax_averaged"


def write_csv(path: str | os.PathLike[str], columns: Mapping[str, np.ndarray]) -> None:
    """Writes the columns; what is not known is an empty cell. Raises `OutputError`."""
    with replacing(path) as temporary:
        pyarrow.csv.write_csv(_table(columns), temporary)


def write_parquet(
    path: str | os.PathLike[str],
    columns: Mapping[str, np.ndarray],
    quarantined: Mapping[str, int],
    averaged: int,
    metadata: Mapping[bytes, bytes],
) -> None:
    """Writes the columns, and counts and `metadata` with the schema.

    Raises `OutputError`.
    """
    counts = {
        QUARANTINE_KEY: json.dumps(dict(quarantined)).encode(),
        AVERAGED_KEY: str(averaged).encode(),
    }
    table = _table(columns).replace_schema_metadata({**counts, **metadata})
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)


def _table(columns: Mapping[str, np.ndarray]) -> pa.Table:
    return pa.table(
        {
            name: pa.array(
                values.tolist() if values.dtype.kind == "U" else values, from_pandas=True
            )
            for name, values in columns.items()
        }
    )
