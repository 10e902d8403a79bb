"""The ledger as a file."""

import os
import pathlib

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from carbjax._files import replacing, require_writable

LEDGER_SUFFIXES = (".parquet", ".csv")


def write_ledger(ledger: pa.Table, path: str | os.PathLike[str]) -> None:
    """Nothing; the ledger stands at `path`, as Parquet or CSV by its suffix.

    It appears whole or not at all. Raises `OutputError`.
    """
    require_writable(path, LEDGER_SUFFIXES)
    with replacing(path) as temporary:
        if pathlib.Path(path).suffix.lower() == ".csv":
            pyarrow.csv.write_csv(ledger, temporary)
        else:
            pyarrow.parquet.write_table(ledger, temporary)
