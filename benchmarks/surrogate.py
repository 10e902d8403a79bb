"""The surrogate beside Vidur's random forest: errors, conduct and speed.

Both are fitted to the same rows and judged by the same others, in one run. The forest
is scikit-learn's, which nothing else of carbjax needs. Run from the root of the
repository, with the measurements in CARBJAX_DATA:

    python -m benchmarks.surrogate [--out FOLDER] [--skip-accuracy]
"""

import argparse
import csv
import importlib.util
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

jax.config.update("jax_enable_x64", True)

import carbjax as cj  # noqa: E402
from benchmarks._accuracy import Comparison, comparisons  # noqa: E402
from benchmarks._conduct import (  # noqa: E402
    STATES,
    falls,
    gradient_gap,
    per_second,
    specialisation_gap,
    states,
    unspecialised,
)
from benchmarks._forest import forest  # noqa: E402
from benchmarks._limits import roofline_s  # noqa: E402
from benchmarks._rows import Row  # noqa: E402

_SYSTEMS = ("a100-sxm", "h100-sxm", "h200-sxm", "b200-sxm", "rtx-pro-6000")
_FOREST_STATES = 20_000
_FEW_STATES = 1000
_WIDTH_WITHOUT_TERMINAL = 120


class Speed(NamedTuple):
    """States a second on this machine."""

    what: str
    states_per_s: float


class Conduct(NamedTuple):
    """How the specialised cost of Llama-3.1-8B behaves."""

    accelerator: str
    falls: int  # steps along a feature at which time or energy falls
    steps: int
    gradient_gap: float  # largest relative, to central differences
    mean_gap: float  # relative, of the specialised time to the operators as fitted
    largest_gap: float


def rows(quick: bool) -> Iterator[Row]:
    """States a second of the specialised cost, beside nine forests of a layer."""
    system = cj.System.load("h200-sxm", "llama-3.1-8b")
    count = _FEW_STATES if quick else STATES
    has_peer = importlib.util.find_spec("sklearn") is not None
    peer = _forest_rate(_FEW_STATES if quick else _FOREST_STATES) if has_peer else None
    for dtype, bits in ((jnp.float32, 32), (jnp.float64, 64)):
        batch = states(count, dtype)
        cost = jax.vmap(system.iteration_cost)
        found = per_second(jax.jit(cost), batch, count)
        alone, bound = roofline_s(cost, batch, bits=bits)
        yield Row(
            path="surrogate",
            measured=f"iteration cost, {count:,} states, float{bits}",
            value=found,
            unit="states/s",
            peer="nine random forests of a layer (Vidur)" if peer else "",
            ratio=found / peer if peer else None,
            limit=bound,
            of_limit=alone * found / count,
        )


def speeds() -> Iterator[Speed]:
    """Of the specialised cost, of its operators, and of nine forests of a layer."""
    system = cj.System.load("h200-sxm", "llama-3.1-8b")
    for name, function in (
        ("specialised iteration cost", system.iteration_cost),
        ("each operator of it", system.operator_costs),
        (
            "its part of tokens alone",
            lambda batch: system.cost.token_part(batch.num_tokens),
        ),
        ("that part, operators as fitted", unspecialised(system)),
    ):
        compiled = jax.jit(jax.vmap(function))
        for dtype in (jnp.float32, jnp.float64):
            rate = per_second(compiled, states(STATES, dtype), STATES)
            yield Speed(f"{name}, {dtype.__name__}", rate)
    yield Speed("nine random forests of a layer", _forest_rate(_FOREST_STATES))


def _forest_rate(count: int) -> float:
    rng = np.random.default_rng(0)
    tokens = np.arange(1.0, 4097.0, 8.0)[:, None]
    trees = [forest(tokens, 1e-6 * tokens[:, 0] * rng.uniform(0.9, 1.1, len(tokens)))] * 9
    asked = rng.integers(1, 4096, (count, 1)).astype(float)
    start = time.perf_counter()
    for each in trees:
        each.predict(asked)
    return count / (time.perf_counter() - start)


def conducts() -> Iterator[Conduct]:
    """Of every shipped fit."""
    for name in _SYSTEMS:
        system = cj.System.load(name, "llama-3.1-8b")
        yield Conduct(
            name, *falls(system), gradient_gap(system), *specialisation_gap(system)
        )


def show_errors(found: list[Comparison]) -> Table:
    table = Table(title="Errors on held-out rows (%)", title_justify="left")
    table.add_column("quantity")
    table.add_column("split")
    for name in ("rows", "forest MAPE", "forest p95", "ours MAPE", "ours p95"):
        table.add_column(name, justify="right")
    for row in found:
        both = (row.forest.mape, row.forest.p95, row.ours.mape, row.ours.p95)
        numbers = (f"{x:.1f}" for x in both)
        table.add_row(row.quantity, row.split, f"{row.ours.rows:,}", *numbers)
    return table


def show_conduct(found: list[Conduct], rates: list[Speed]) -> list[Table]:
    conduct = Table(title="Conduct, Llama-3.1-8B", title_justify="left")
    for name in ("GPU", "falls", "steps", "gradient gap", "mean gap", "largest gap"):
        conduct.add_column(name, justify="right")
    for row in found:
        gaps = (f"{gap:.0e}" for gap in row[3:])
        conduct.add_row(row.accelerator, f"{row.falls:,}", f"{row.steps:,}", *gaps)
    speed = Table("what", "states/s", title="Speed", title_justify="left")
    for what, rate in rates:
        speed.add_row(what, f"{rate:,.0f}")
    return [conduct, speed]


def write(folder: pathlib.Path, errors: list[Comparison], conduct, rates) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "surrogate.csv", "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(("quantity", "split", "measure", "forest", "ours"))
        for row in errors:
            for name in row.ours._fields:
                pair = (getattr(row.forest, name), getattr(row.ours, name))
                out.writerow((row.quantity, row.split, name, *(f"{x:.2f}" for x in pair)))
        for row in conduct:
            for name in row._fields[1:]:
                out.writerow((row.accelerator, "", name, "", f"{getattr(row, name):.3g}"))
        for what, rate in rates:
            out.writerow((what, "", "states/s", "", f"{rate:.0f}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, help="folder for surrogate.csv")
    parser.add_argument("--skip-accuracy", action="store_true")
    arguments = parser.parse_args()
    data = pathlib.Path(os.environ.get("CARBJAX_DATA", "../shared/data"))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL)
    conduct, rates = list(conducts()), list(speeds())
    found: list[Comparison] = []
    if not arguments.skip_accuracy:
        if not data.is_dir():
            sys.exit(f"There are no measurements at {data}; set CARBJAX_DATA.")
        found = list(track(comparisons(data), "fitting", transient=True))
        console.print(show_errors(found))
    for table in show_conduct(conduct, rates):
        console.print(table)
    if arguments.out is not None:
        write(arguments.out, found, conduct, rates)


if __name__ == "__main__":
    main()
