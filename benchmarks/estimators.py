"""What estimators cost beyond the values of v: time by evaluation, beside shapiq's.

v is a look-up in a table, which takes next to nothing. Compiled before; CPU time, so that
other work on the machine counts little. Run from the root of the repository:

    python -m benchmarks.estimators [--players 16] [--peer-python PYTHON]

shapiq 1.8 needs Python 3.12 and lives in an environment of its own: `--peer-python`
names an interpreter that has it.
"""

import argparse
import csv
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

jax.config.update("jax_enable_x64", True)

import carbjax as cj  # noqa: E402
from benchmarks import _rows  # noqa: E402
from carbjax._estimators.registry import ESTIMATORS  # noqa: E402
from experiments import shapiq_errors  # noqa: E402

_BUDGETS = (128, 512, 2048)
_REPEATS = 3
_PLAYERS = 16
_PEER_OF = {"odd": "OddSHAP", "kernel_shap": "KernelSHAP", "permutation": "permutation"}


class Row(NamedTuple):
    library: str
    estimator: str
    microseconds: list[float]  # CPU, an evaluation, by budget; NaN: no answer


def rows(quick: bool, peer_python: str | None = None) -> Iterator[_rows.Row]:
    """CPU microseconds a value, without v, of one estimator of each kind."""
    values, budget = table_of(8 if quick else _PLAYERS), 64 if quick else 512
    theirs = {}
    if peer_python is not None:
        found = peers(values, peer_python)
        theirs = {row.estimator: row.microseconds[_BUDGETS.index(512)] for row in found}
    for name, peer in _PEER_OF.items():
        microseconds = _cpu_microseconds(cj.TableGame(values), name, budget)
        alone = _solving_s(budget // 2) if name == "odd" else None
        yield _rows.Row(
            path="estimators",
            measured=f"{name}, {budget} values of {len(values).bit_length() - 1} players",
            value=microseconds,
            unit="CPU us/value",
            peer=f"shapiq {peer}" if peer in theirs else "",
            ratio=theirs[peer] / microseconds if peer in theirs else None,
            limit="arithmetic: one Cholesky factor of its system" if alone else "",
            of_limit=1e6 * alone / budget / microseconds if alone else None,
        )


def _solving_s(size: int) -> float:
    """CPU seconds of one factor of a system of this size; the likeliest takes many."""
    square = np.eye(size) + 0.1
    np.linalg.cholesky(square)
    start = time.process_time()
    for _ in range(_REPEATS):
        np.linalg.cholesky(square)
    return (time.process_time() - start) / _REPEATS


def table_of(num_players: int) -> np.ndarray:
    """All values of a concave game."""
    size, rng = np.arange(2**num_players), np.random.default_rng(0)
    members = size[:, None] >> np.arange(num_players) & 1
    return np.sqrt(members @ rng.uniform(0.5, 2.0, num_players))


def ours(values: np.ndarray) -> list[Row]:
    """Every estimator of carbjax, without a control."""
    game = cj.TableGame(values)
    return [Row("carbjax", name, _times(game, name)) for name in ESTIMATORS]


def _times(game: cj.TableGame, estimator: str) -> list[float]:
    return [_cpu_microseconds(game, estimator, budget) for budget in _BUDGETS]


def _cpu_microseconds(game: cj.TableGame, estimator: str, budget: int) -> float:
    """Of an evaluation, in the quickest of some runs."""
    seconds = []
    for seed in range(_REPEATS + 1):  # the first one compiles
        key, start = jax.random.key(seed), time.process_time()
        cj.estimate_shapley(game, budget=budget, estimator=estimator, key=key)
        seconds.append(time.process_time() - start)
    return 1e6 * min(seconds[1:]) / budget


def peers(values: np.ndarray, python: str) -> list[Row]:
    """shapiq's estimators, run by the interpreter `python`."""
    with tempfile.TemporaryDirectory() as folder:
        games, out = (pathlib.Path(folder) / name for name in ("games.npz", "out.csv"))
        settings = {
            "budgets": np.array(_BUDGETS),
            "num_seeds": np.array(_REPEATS),
            "enough": np.array(0.0),
        }
        np.savez(games, allow_pickle=False, table=values, **settings)
        command = [python, shapiq_errors.__file__, str(games), str(out)]
        subprocess.run(command, check=True)
        with out.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    return [
        Row(rows[0]["library"], name, [_microseconds(rows, name, b) for b in _BUDGETS])
        for name in dict.fromkeys(row["estimator"] for row in rows)
    ]


def _microseconds(rows: list[dict[str, str]], estimator: str, budget: int) -> float:
    for row in rows:
        if row["estimator"] == estimator and int(row["budget"]) == budget:
            answered = np.isfinite(float(row["median"]))
            return 1e6 * float(row["seconds"]) / budget if answered else np.nan
    return np.nan


def show(rows: list[Row], num_players: int) -> None:
    table = Table(title=f"CPU microseconds an evaluation, without v, {num_players} players")
    table.add_column("library")
    table.add_column("estimator")
    for budget in _BUDGETS:
        table.add_column(f"of {budget}", justify="right")
    for row in rows:
        cells = (f"{x:,.0f}" if np.isfinite(x) else "-" for x in row.microseconds)
        table.add_row(row.library, row.estimator, *cells)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of estimators.")
    parser.add_argument("--players", type=int, default=_PLAYERS)
    parser.add_argument("--peer-python", help="an interpreter that has shapiq")
    arguments = parser.parse_args()
    values = table_of(arguments.players)
    found = ours(values)
    if arguments.peer_python is None:
        print("shapiq is not measured: give --peer-python an interpreter that has it.")
    else:
        found += peers(values, arguments.peer_python)
    show(found, arguments.players)


if __name__ == "__main__":
    main()
