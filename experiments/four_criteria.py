"""The four criteria for every method: the paper's question, as one table.

    python -m experiments.four_criteria [CONFIG] [--results FOLDER] [--out FOLDER]

Runs of twelve requests are cut from the Azure conversation trace at random places, with
arrivals as recorded, 3, 10 and 30 times as fast in turns, and served by one H200
(Llama-3.1-8B). `cj.evaluate` judges every registered method: distance to the exact
Shapley value and broken axioms, growth of cost, values of v that it takes to be within 5%
and 1% of the mean share, and what halving a prompt or an answer saves.

CONFIG is that of `carbjax evaluate`, configs/evaluation_full.toml by default; its trace
is looked for in the data folder. Finished tasks are kept in `--results`, so that an
interrupted run goes on. Prints the table, writes `four_criteria.csv`, `.png` and `.svg`.
"""

import argparse
import functools as ft
import itertools
import pathlib
import tomllib
from typing import Any

import jax
import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.progress import Progress

import carbjax as cj
from carbjax._progress import listening
from experiments.workbench.drawing import BLUE, GREEN, ORANGE, PINK, new_figure, tidy
from experiments.workbench.inputs import CONVERSATIONS, conversations, data_path
from experiments.workbench.settings import ROOT, config_path
from experiments.workbench.tables import console, write

NAME = "four_criteria"
TRUTH = "shapley"
_AXES = "CItR"
_PERCENT = 100.0
_LEAST = 1e-4  # of the truth; nearer ones are drawn there
_ROOM = 0.7  # right of an exponent, for a word
_FOUR = dict(zip(_AXES, zip((BLUE, ORANGE, GREEN, PINK), "os^D", strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description="The four criteria for every method.")
    full = config_path("evaluation_full")
    parser.add_argument("config", nargs="?", type=pathlib.Path, default=full)
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "out" / NAME)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "figures")
    arguments = parser.parse_args()
    if not data_path(CONVERSATIONS).is_file():
        parser.error(
            f"there is no trace at {data_path(CONVERSATIONS)}; set CARBJAX_DATA to the "
            f"folder that holds {CONVERSATIONS}."
        )
    jax.config.update("jax_enable_x64", True)
    cj.enable_compilation_cache()
    settings = tomllib.loads(arguments.config.read_text(encoding="utf-8"))
    with Progress(transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        with listening(show):
            found = judge(conversations(), settings, arguments.results)
    console(150).print(found.table())
    cuts = settings["workloads"]
    figure = draw(found.summary, cuts["count"], cuts["requests"])
    write(NAME, {NAME: found.summary}, figure, arguments.out)


def judge(
    trace: cj.Workload, settings: dict[str, Any], results: pathlib.Path
) -> cj.Evaluation:
    """The methods by all criteria, on cuts of the trace, as the configuration says."""
    asked, workloads = settings["evaluation"], settings["workloads"]
    cuts = cj.cut_workloads(
        trace,
        workloads["count"],
        num_requests=workloads["requests"],
        loads=workloads["loads"],
        seed=asked["seed"],
    )
    system = cj.System.load(**settings["system"])
    return cj.evaluate(**asked, workloads=cuts, system=system, out=results)


def draw(summary: pa.Table, num_workloads: int, num_requests: int) -> Figure:
    """A line a method, nearest to the truth first; a panel a criterion."""
    judged = [line for line in summary.to_pylist() if line["relative"] is not None]
    lines = sorted(judged, key=lambda line: line["relative"])
    widths = (3, 1.4, 2.2, 2.6, 2.6)
    figure, (panels,) = new_figure(
        14, 1.8 + 0.3 * len(lines), columns=5, sharey=True, width_ratios=widths
    )
    most = 2.0 ** (num_requests + 1)  # beyond all coalitions: never
    fills = _distances, _axioms, _growth, ft.partial(_samples, most), _rewards
    titles = "fairness", "axioms", "scalability", "sample efficiency", "incentives"
    for panel, fill, title in zip(panels, fills, titles, strict=True):
        fill(panel, lines)
        tidy(panel, title, grid="x")
    panels[0].set_yticks(range(len(lines)), [line["method"] for line in lines])
    panels[0].invert_yaxis()
    figure.suptitle(
        f"{num_workloads} cuts of {num_requests} requests of the Azure conversation "
        "trace, H200, Llama-3.1-8B: medians",
        fontsize="medium",
    )
    return figure


def _distances(panel: Axes, lines: list[dict]) -> None:
    low, middle, high = (
        _PERCENT * np.maximum(_column(lines, name), _LEAST)
        for name in ("relative_lower", "relative", "relative_upper")
    )
    low, high = np.fmin(low, middle), np.fmax(high, middle)
    rows = np.arange(len(lines))
    panel.errorbar(middle, rows, xerr=(middle - low, high - middle), fmt="o", color=BLUE)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.set_xlabel("distance to Shapley (%)\n95% interval of the median")


def _axioms(panel: Axes, lines: list[dict]) -> None:
    panel.barh(range(len(lines)), _column(lines, "num_broken"), color=BLUE, height=0.55)
    panel.set_xlabel("axioms broken,\nof 8")


def _growth(panel: Axes, lines: list[dict]) -> None:
    for k, (axis, (colour, marker)) in enumerate(_FOUR.items()):
        rows = np.arange(len(lines)) + 0.14 * (k - 1.5)
        exponents = _column(lines, f"exponent_{axis}")
        panel.plot(exponents, rows, marker, color=colour, markersize=4, label=axis)
    for row, line in enumerate(lines):
        if line["verdict"] == "exponential":
            _say_so(panel, row, max(line[f"exponent_{axis}"] or 0.0 for axis in _AXES))
    panel.axvline(1, color="#999999", linewidth=0.8)
    panel.set_xlabel("exponent of the cost\nin C, I, t, R")
    _legend(panel)


def _say_so(panel: Axes, row: int, right_of: float) -> None:
    """An exponential has no exponent: the number is that of the sizes measured."""
    panel.annotate(
        "exponential",
        (right_of, row),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize="x-small",
    )
    panel.set_xlim(right=max(panel.get_xlim()[1], right_of + _ROOM))


def _samples(most: float, panel: Axes, lines: list[dict]) -> None:
    rows = np.arange(len(lines))
    every_eps = [name.removeprefix("N_") for name in lines[0] if name.startswith("N_")]
    styles = itertools.cycle(((ORANGE, "s"), (BLUE, "o"), (GREEN, "^"), (PINK, "D")))
    for k, (eps, (colour, marker)) in enumerate(zip(every_eps, styles, strict=False)):
        needed = np.minimum(_column(lines, f"N_{eps}"), most)
        places = rows + 0.28 * (k - (len(every_eps) - 1) / 2)
        panel.plot(needed, places, marker, color=colour, markersize=5, label=eps)
    panel.set_xscale("symlog", linthresh=1)
    ticks = [0, 10, 100, 1000, most]
    panel.set_xticks(ticks, [*(f"{tick:g}" for tick in ticks[:-1]), "never"])
    panel.minorticks_off()
    within = ", ".join(every_eps)
    panel.set_xlabel(f"values of v to be within {within}\nof the mean share")
    _legend(panel)


def _rewards(panel: Axes, lines: list[dict]) -> None:
    rows = np.arange(len(lines))
    for part, colour, marker, shift in (
        ("prompt", ORANGE, "s", -0.14),
        ("decode", BLUE, "o", 0.14),
    ):
        rewards = _PERCENT * _column(lines, f"R_{part}")
        panel.plot(rewards, rows + shift, marker, color=colour, markersize=5, label=part)
    panel.axvline(0, color="#999999", linewidth=0.8)
    panel.set_xlabel("part of the bill that\nhalving saves (%)")
    _legend(panel)


def _legend(panel: Axes) -> None:
    """Above the panel, where it hides nothing."""
    panel.legend(
        frameon=False,
        fontsize="small",
        ncols=4,
        handletextpad=0,
        columnspacing=0.8,
        borderpad=0,
        loc="lower right",
        bbox_to_anchor=(1, 1),
    )


def _column(lines: list[dict], name: str) -> np.ndarray:
    return np.array([np.nan if x[name] is None else x[name] for x in lines], float)


if __name__ == "__main__":
    main()
