"""Every hot path beside its peer and its limit, in one run, as one table.

    CARBJAX_DATA=path/to/data python -m benchmarks [--quick] [--only NAME ...]
        [--out FOLDER] [--readme] [--peer-python PYTHON]

Writes `<device>.json` into the folder (benchmarks/results) and prints the table; with
`--readme` benchmarks/README.md holds it too. `--peer-python` is an interpreter that has
shapiq. `--quick` is for trying that it runs: its numbers mean nothing.
"""

import argparse
import functools as ft
import importlib.metadata
import json
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator

import jax

jax.config.update("jax_enable_x64", True)

from benchmarks import (  # noqa: E402
    _ledger_rows,
    coalitions,
    estimators,
    start_up,
    streaming,
    surrogate,
)
from benchmarks._rows import Row  # noqa: E402

_HERE = pathlib.Path(__file__).parent
_README, _RESULTS = _HERE / "README.md", _HERE / "results"
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->\n"
_VERSIONS = ("carbjax", "jax", "jaxlib", "numpy", "pyarrow", "scikit-learn")
_HEADINGS = ("hot path", "measured", "value", "peer", "ratio to it", "limit", "of it")

Rows = Callable[[bool], Iterator[Row]]
BENCHMARKS: dict[str, Rows] = {
    "start_up": start_up.rows,
    "surrogate": surrogate.rows,
    "coalitions": coalitions.rows,
    "streaming": streaming.rows,
    "estimators": estimators.rows,
    "ledger": _ledger_rows.rows,
}


def main(arguments: list[str] | None = None) -> None:
    """Nothing; the table is on standard output and in the files."""
    parser = argparse.ArgumentParser(description="Hot paths, peers and limits.")
    parser.add_argument("--quick", action="store_true", help="sizes of seconds")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--out", type=pathlib.Path, default=_RESULTS)
    parser.add_argument("--readme", action="store_true", help="put the table there too")
    parser.add_argument("--peer-python", help="an interpreter that has shapiq")
    asked = parser.parse_args(arguments)
    chosen = {name: BENCHMARKS[name] for name in asked.only}
    if "estimators" in chosen:
        chosen["estimators"] = ft.partial(estimators.rows, peer_python=asked.peer_python)
    found = []
    for name, rows in chosen.items():
        print(f"{name} ...", file=sys.stderr)
        found += rows(asked.quick)
        write(found, asked.out, quick=asked.quick)
    table = to_markdown(found)
    print(table)
    if asked.readme:
        put_into(_README, f"{_machine()}\n\n{table}")


def to_markdown(rows: list[Row]) -> str:
    """The rows as a table."""
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        value = (
            f"{row.value:,.3g} {row.unit}"
            if row.value < 1e3
            else (f"{row.value:,.0f} {row.unit}")
        )
        ratio = "" if row.ratio is None else f"{row.ratio:,.3g}"
        part = "" if row.of_limit is None else f"{100 * row.of_limit:.2g}%"
        cells = (row.path, row.measured, value, row.peer, ratio, row.limit, part)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(rows: list[Row], folder: pathlib.Path, *, quick: bool) -> pathlib.Path:
    """The file of this device's figures."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", _device().lower()).strip("-")
    path = folder / f"{name}{'-quick' if quick else ''}.json"
    record = {
        "device": _device(),
        "cores": os.cpu_count(),
        "versions": _versions(),
        "rows": [row._asdict() for row in rows],
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def put_into(page: pathlib.Path, table: str) -> None:
    """Replaces what stands between the two marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    page.write_text(f"{before}{_BEGIN}{table}{_END}{after}", encoding="utf-8")


def _machine() -> str:
    versions = ", ".join(f"{name} {number}" for name, number in _versions().items())
    return f"{_device()}, {os.cpu_count()} cores, float64; {versions}."


def _device() -> str:
    """The accelerator's name, or the CPU's where there is none."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    info = pathlib.Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else "CPU"


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
