"""The four criteria for every method: the paper's question, as one table.

    python experiments/four_criteria.py [--limit WORKLOADS] [--methods NAMES]
        [--results FOLDER] [--out FOLDER]

Runs of twelve requests are cut from the Azure conversation trace at random places, with
arrivals as recorded, 3, 10 and 30 times as fast in turns, and served by one H200
(Llama-3.1-8B). `cj.evaluate` judges every registered method: distance to the exact
Shapley value and broken axioms, growth of cost, values of v that it takes to be within 5%
and 1% of the mean share, and what halving a prompt or an answer saves.

Finished tasks are kept in `--results`, so that an interrupted run goes on. Prints the
table, writes `four_criteria.csv`, `.png` and `.svg`.
"""

import argparse
import os
import pathlib

import jax
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

jax.config.update("jax_enable_x64", True)

import matplotlib  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402

import carbjax as cj  # noqa: E402
from carbjax._progress import listening  # noqa: E402

_ROOT = pathlib.Path(__file__).parents[1]
_TRACE = pathlib.Path("azure_llm_2023", "AzureLLMInferenceTrace_conv.csv")
NUM_WORKLOADS, NUM_REQUESTS = 20, 12
LOADS = (1.0, 3.0, 10.0, 30.0)
EPS = (0.05, 0.01)
SEED = 2025
TRUTH = "shapley"
_AXES = "CItR"
_PERCENT = 100.0
_LEAST = 1e-4  # of the truth; nearer ones are drawn there
_WIDTH_WITHOUT_TERMINAL = 150
# Okabe and Ito's palette, told apart with any kind of colour vision.
_BLUE, _ORANGE, _GREEN, _PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
_FOUR = dict(zip(_AXES, zip((_BLUE, _ORANGE, _GREEN, _PINK), "os^D", strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description="The four criteria for every method.")
    parser.add_argument("--limit", type=int, default=NUM_WORKLOADS)
    parser.add_argument("--methods", help="names, separated by commas; default: all")
    parser.add_argument(
        "--results", type=pathlib.Path, default=_ROOT / "out" / "four_criteria"
    )
    parser.add_argument("--out", type=pathlib.Path, default=_ROOT / "figures")
    arguments = parser.parse_args()
    path = trace_path()
    if not path.is_file():
        parser.error(
            f"there is no trace at {path}; set CARBJAX_DATA to the folder that holds "
            f"{_TRACE}."
        )
    cj.enable_compilation_cache()
    names = arguments.methods.split(",") if arguments.methods else None
    trace = cj.read_trace(path, tz="UTC")
    with Progress(transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        with listening(show):
            found = judge(trace, arguments.limit, names, arguments.results)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL)
    console.print(found.table())
    for written in write(found.summary, arguments.limit, arguments.out):
        print(f"wrote {written}")


def trace_path() -> pathlib.Path:
    """Where the trace should lie: in CARBJAX_DATA, else beside the checkout."""
    folder = os.environ.get("CARBJAX_DATA") or _ROOT.parent / "shared" / "data"
    return pathlib.Path(folder) / _TRACE


def judge(
    trace: cj.Workload,
    num_workloads: int,
    methods: list[str] | None,
    results: pathlib.Path,
    num_requests: int = NUM_REQUESTS,
) -> cj.Evaluation:
    """The methods by all criteria, on cuts of the trace."""
    cuts = cj.cut_workloads(
        trace, num_workloads, num_requests=num_requests, loads=LOADS, seed=SEED
    )
    system = cj.System.load("h200-sxm", "llama-3.1-8b", policy="chunked_prefill")
    return cj.evaluate(
        methods,
        workloads=cuts,
        system=system,
        eps=EPS,
        seed=SEED,
        out=results,
        limit_s=None,
    )


def write(
    summary: pa.Table, num_workloads: int, folder: pathlib.Path
) -> list[pathlib.Path]:
    """The paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    csv = folder / "four_criteria.csv"
    pa_csv.write_csv(summary, csv, pa_csv.WriteOptions(quoting_style="needed"))
    figure = draw(summary, num_workloads)
    images = [csv.with_suffix(suffix) for suffix in (".png", ".svg")]
    # A figure of the same numbers is the same file.
    with matplotlib.rc_context({"svg.hashsalt": "four_criteria"}):
        figure.savefig(images[0], dpi=150)
        figure.savefig(images[1], metadata={"Date": None})
    return [csv, *images]


def draw(summary: pa.Table, num_workloads: int) -> Figure:
    """A line a method, nearest to the truth first; a panel a criterion."""
    judged = [line for line in summary.to_pylist() if line["relative"] is not None]
    lines = sorted(judged, key=lambda line: line["relative"])
    figure = Figure(figsize=(14, 1.8 + 0.3 * len(lines)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 5, sharey=True, width_ratios=(3, 1.4, 2.2, 2.6, 2.6))
    for panel, fill in zip(
        panels, (_distances, _axioms, _growth, _samples, _rewards), strict=True
    ):
        fill(panel, lines)
        panel.grid(axis="x", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(lines)), [line["method"] for line in lines])
    panels[0].invert_yaxis()
    figure.suptitle(
        f"{num_workloads} cuts of {NUM_REQUESTS} requests of the Azure conversation "
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
    panel.errorbar(middle, rows, xerr=(middle - low, high - middle), fmt="o", color=_BLUE)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.set_xlabel("distance to Shapley (%)\n95% interval of the median")
    panel.set_title("fairness", fontsize="medium", loc="left")


def _axioms(panel: Axes, lines: list[dict]) -> None:
    panel.barh(range(len(lines)), _column(lines, "num_broken"), color=_BLUE, height=0.55)
    panel.set_xlabel("axioms broken,\nof 8")
    panel.set_title("axioms", fontsize="medium", loc="left")


def _growth(panel: Axes, lines: list[dict]) -> None:
    for k, (axis, (colour, marker)) in enumerate(_FOUR.items()):
        rows = np.arange(len(lines)) + 0.14 * (k - 1.5)
        exponents = _column(lines, f"exponent_{axis}")
        panel.plot(exponents, rows, marker, color=colour, markersize=4, label=axis)
    panel.axvline(1, color="#999999", linewidth=0.8)
    panel.set_xlabel("exponent of the cost\nin C, I, t, R")
    _legend(panel)
    panel.set_title("scalability", fontsize="medium", loc="left")


def _samples(panel: Axes, lines: list[dict]) -> None:
    most = 2.0 ** (NUM_REQUESTS + 1)  # beyond all coalitions: never
    rows = np.arange(len(lines))
    for eps, colour, marker, shift in (
        ("5%", _ORANGE, "s", -0.14),
        ("1%", _BLUE, "o", 0.14),
    ):
        needed = np.minimum(_column(lines, f"N_{eps}"), most)
        panel.plot(needed, rows + shift, marker, color=colour, markersize=5, label=eps)
    panel.set_xscale("symlog", linthresh=1)
    ticks = [0, 10, 100, 1000, most]
    panel.set_xticks(ticks, [*(f"{tick:g}" for tick in ticks[:-1]), "never"])
    panel.minorticks_off()
    panel.set_xlabel("values of v to be within 5%, 1%\nof the mean share")
    _legend(panel)
    panel.set_title("sample efficiency", fontsize="medium", loc="left")


def _rewards(panel: Axes, lines: list[dict]) -> None:
    rows = np.arange(len(lines))
    for part, colour, marker, shift in (
        ("prompt", _ORANGE, "s", -0.14),
        ("decode", _BLUE, "o", 0.14),
    ):
        rewards = _PERCENT * _column(lines, f"R_{part}")
        panel.plot(rewards, rows + shift, marker, color=colour, markersize=5, label=part)
    panel.axvline(0, color="#999999", linewidth=0.8)
    panel.set_xlabel("part of the bill that\nhalving saves (%)")
    _legend(panel)
    panel.set_title("incentives", fontsize="medium", loc="left")


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
