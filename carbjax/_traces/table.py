"""Columns of a CSV, JSON lines or Parquet file."""

import pyarrow as pa
import pyarrow.parquet

from carbjax._traces.columns import Table as Table, listed as listed
from carbjax._traces.csv_lines import csv_table, first_line
from carbjax._traces.json_lines import json_table
from carbjax._traces.rejects import Quarantine
from carbjax._traces.source import Source


def read_table(source: Source, quarantine: Quarantine | None = None) -> Table:
    """The columns of a file; its kind is recognised from the content.

    What is wrong with single records is an error, or collected by `quarantine`.
    """
    if source.is_parquet:
        return _parquet(source, quarantine)
    read = json_table if source.is_json else csv_table
    return read(source, quarantine)


def _parquet(source: Source, quarantine: Quarantine | None) -> Table:
    try:
        table = pyarrow.parquet.read_table(pa.BufferReader(source.data), use_threads=False)
        columns = {
            name: column.combine_chunks()
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    except (pa.ArrowException, OSError, ValueError) as cause:
        raise source.fail(
            f"the Parquet content is damaged ({first_line(cause)}).",
            hint="Write it again.",
        ) from None
    return Table(
        source.file,
        columns,
        table.num_rows,
        lambda index: index + 1,
        None,
        source.error,
        quarantine,
    )
