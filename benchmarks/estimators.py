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
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

jax.config.update("jax_enable_x64", True)

import carbjax as cj  # noqa: E402
from carbjax._estimators.registry import ESTIMATORS  # noqa: E402
from experiments import shapiq_errors  # noqa: E402

_BUDGETS = (128, 512, 2048)
_REPEATS = 3


class Row(NamedTuple):
    library: str
    estimator: str
    microseconds: list[float]  # CPU, an evaluation, by budget; NaN: no answer


def ours(values: np.ndarray) -> list[Row]:
    """Every estimator of carbjax, without a control."""
    game = cj.TableGame(values)
    return [Row("carbjax", name, _times(game, name)) for name in ESTIMATORS]


def _times(game: cj.TableGame, estimator: str) -> list[float]:
    found = []
    for budget in _BUDGETS:
        seconds = []
        for seed in range(_REPEATS + 1):  # the first one compiles
            key, start = jax.random.key(seed), time.process_time()
            cj.estimate_shapley(game, budget=budget, estimator=estimator, key=key)
            seconds.append(time.process_time() - start)
        found.append(1e6 * min(seconds[1:]) / budget)
    return found


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
    parser.add_argument("--players", type=int, default=16)
    parser.add_argument("--peer-python", help="an interpreter that has shapiq")
    arguments = parser.parse_args()
    size = np.arange(2**arguments.players)
    rng = np.random.default_rng(0)
    members = size[:, None] >> np.arange(arguments.players) & 1
    values = np.sqrt(members @ rng.uniform(0.5, 2.0, arguments.players))
    rows = ours(values)
    if arguments.peer_python is None:
        print("shapiq is not measured: give --peer-python an interpreter that has it.")
    else:
        rows += peers(values, arguments.peer_python)
    show(rows, arguments.players)


if __name__ == "__main__":
    main()
