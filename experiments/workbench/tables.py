"""Rows of results as tables, on the screen and on disk."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import pyarrow as pa
import pyarrow.csv as pa_csv
from matplotlib.figure import Figure
from rich.console import Console

_WIDTH_WITHOUT_TERMINAL = 110
_QUOTED = frozenset(',"\r\n')  # what a text in a CSV cannot hold as it is


def console(width: int = _WIDTH_WITHOUT_TERMINAL) -> Console:
    """Standard output; of that many columns where nobody watches."""
    shown = Console()
    return shown if shown.is_terminal else Console(width=width)


def to_table(rows: Sequence[Any]) -> pa.Table:
    """A column for each field of the `NamedTuple` that the rows are."""
    columns = map(list, zip(*rows, strict=True))
    return pa.table(dict(zip(rows[0]._fields, columns, strict=True)))


def where(rows: pa.Table, **wanted: object) -> pa.Table:
    """The rows with these values."""
    for column, value in wanted.items():
        rows = rows.filter(pa.array(rows[column].to_numpy() == value))
    return rows


def write(
    name: str, tables: Mapping[str, pa.Table], figure: Figure, folder: pathlib.Path
) -> list[pathlib.Path]:
    """The paths written: a CSV for each table, and the figure as PNG and SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{each}.csv" for each in tables]
    for path, rows in zip(written, tables.values(), strict=True):
        pa_csv.write_csv(rows, path, pa_csv.WriteOptions(quoting_style=_quoting(rows)))
    images = [folder / f"{name}{suffix}" for suffix in (".png", ".svg")]
    # A figure of the same numbers is the same file.
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(images[0], dpi=150)
        figure.savefig(images[1], metadata={"Date": None})
    for path in (*written, *images):
        print(f"wrote {path}")
    return [*written, *images]


def _quoting(rows: pa.Table) -> str:
    """Quotes only where some text needs them: PyArrow then puts them around all of it."""
    texts = [column for column in rows.itercolumns() if pa.types.is_string(column.type)]
    needed = any(
        text is not None and not _QUOTED.isdisjoint(text)
        for column in texts
        for text in column.to_pylist()
    )
    return "needed" if needed else "none"
