"""The folder of an evaluation's results."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from carbjax._criteria.evaluation_store import write_json
from carbjax._files import replacing


def write_results(
    folder: pathlib.Path,
    tables: Mapping[str, pa.Table],
    examples: Sequence[Mapping[str, Any]],
    information: Mapping[str, Any],
) -> None:
    """Nothing; the tables (Parquet), examples and information (JSON) stand in `folder`.

    Each file appears whole; `evaluation.json` last, so that one who waits for it finds
    the others. Raises `OutputError`.
    """
    for name, table in tables.items():
        with replacing(folder / f"{name}.parquet") as temporary:
            pq.write_table(table, temporary)
    write_json(folder / "examples.json", list(examples))
    write_json(folder / "evaluation.json", dict(information))
