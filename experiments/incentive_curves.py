"""How strongly each method rewards a shorter prompt and a shorter answer.

    python experiments/incentive_curves.py [--limit CUTS] [--methods NAMES] [--out FOLDER]

Runs of six requests are cut from the Azure conversation trace, arriving three times as
fast as recorded on an H200 (Llama-3.1-8B). The third request is given prompts of 16 to
8192 tokens (answer 200), then answers of 8 to 2048 (prompt 1000). At each length its
prompt, then its answer is halved, everybody is served and attributed anew, and the reward
is the part of its bill that it saves (`cj.incentive_curve`).

Prints a table of each method's mean distance to the reward that exact Shapley gives;
writes `incentive_curves.csv`, `.png` and `.svg`.
"""

import argparse
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

jax.config.update("jax_enable_x64", True)

import matplotlib  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402

import carbjax as cj  # noqa: E402

_ROOT = pathlib.Path(__file__).parents[1]
_TRACE = pathlib.Path("azure_llm_2023", "AzureLLMInferenceTrace_conv.csv")
NUM_CUTS = 4
NUM_REQUESTS, PROBE = 6, 2
LOAD = 3.0
OTHER_PART = {"prompt": 200, "decode": 1000}  # answer, prompt
LENGTHS = {
    "prompt": (16, 64, 256, 1024, 4096, 8192),
    "decode": (8, 32, 128, 512, 2048),
}
TRUTH = "shapley"
# `sampled` enumerates so few players, and is then `shapley`.
LEFT_OUT = ("sampled",)
SEED = 2025
_DECIMALS = 6
# Okabe and Ito's palette; dashed where it is used again.
_PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")


class Reward(NamedTuple):
    """One reward; a row of the CSV."""

    cut: int
    first_request: int  # its place in the trace, from 0
    method: str
    against: str  # the part whose length varies
    tokens: int
    halved: str  # the part that is halved
    base_mg: float  # the bill before
    reward: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Reduction rewards of every method.")
    parser.add_argument("--limit", type=int, default=NUM_CUTS, help="number of cuts")
    parser.add_argument("--methods", nargs="+", help="by default all that are exact")
    parser.add_argument("--out", type=pathlib.Path, default=_ROOT / "figures")
    arguments = parser.parse_args()
    if arguments.limit < 1:
        parser.error(f"--limit is {arguments.limit}; give at least 1.")
    path = trace_path()
    if not path.is_file():
        parser.error(
            f"there is no trace at {path}; set CARBJAX_DATA to the folder that holds "
            f"{_TRACE}."
        )
    cj.enable_compilation_cache()
    trace = cj.read_trace(path, tz="UTC")
    rows = measure(trace, arguments.limit, arguments.methods)
    print_table(rows)
    for written in write(rows, arguments.out):
        print(f"wrote {written}")


def trace_path() -> pathlib.Path:
    """Where the trace should lie: in CARBJAX_DATA, else beside the checkout."""
    folder = os.environ.get("CARBJAX_DATA") or _ROOT.parent / "shared" / "data"
    return pathlib.Path(folder) / _TRACE


def measure(
    trace: cj.Workload, num_cuts: int, methods: Sequence[str] | None = None
) -> list[Reward]:
    """A row for each cut, method, length and halved part."""
    system = cj.System.load("h200-sxm", "llama-3.1-8b")
    names = methods or [name for name in cj.methods() if name not in LEFT_OUT]
    names = list(dict.fromkeys([TRUTH, *names]))
    rows = []
    for cut in track(range(num_cuts), description="cuts", transient=True):
        first = _first_request(trace, cut)
        requests = trace.select(slice(first, first + NUM_REQUESTS))
        for against in LENGTHS:
            workload = _with_probe(requests, against)
            for name in names:
                found = _curve(workload, system, name, against)
                rows += [Reward(cut, first, name, against, *each) for each in found]
    return rows


def _curve(
    workload: cj.Workload, system: cj.System, method: str, against: str
) -> list[tuple[int, str, float, float]]:
    """The last four fields of `Reward`."""
    curve = cj.incentive_curve(
        workload,
        system,
        method,
        against=against,
        values=LENGTHS[against],
        requests=[PROBE],
        elasticity=False,
    )
    return [
        (
            int(tokens),
            halved,
            round(1e3 * float(curve.base_g[i, 0]), _DECIMALS),
            round(float(rewards[i, 0]), _DECIMALS) + 0.0,
        )
        for halved, rewards in (("prompt", curve.prompt), ("decode", curve.decode))
        for i, tokens in enumerate(curve.values)
    ]


def _with_probe(requests: cj.Workload, against: str) -> cj.Workload:
    """The requests faster, and the fixed part of the one that is looked at."""
    prompt, answer = requests.num_prefill_tokens.copy(), requests.num_decode_tokens.copy()
    (answer if against == "prompt" else prompt)[PROBE] = OTHER_PART[against]
    arrival_s = (requests.arrival_s - requests.start_s) / LOAD
    return cj.Workload(arrival_s, prompt, answer)


def _first_request(trace: cj.Workload, cut: int) -> int:
    """A random place for the cut, the same whatever the number of cuts."""
    rng = np.random.default_rng((SEED, cut))
    return int(rng.integers(trace.num_requests - NUM_REQUESTS + 1))


def rewards(rows: list[Reward], method: str, against: str, halved: str) -> np.ndarray:
    """Rewards of a method, `"cuts lengths"`."""
    mine = [
        row.reward
        for row in rows
        if (row.method, row.against, row.halved) == (method, against, halved)
    ]
    return np.array(mine).reshape(-1, len(LENGTHS[against]))


def distance(rows: list[Reward], method: str, part: str) -> float:
    """Mean distance to Shapley's reward for halving the part whose length varies."""
    truth = rewards(rows, TRUTH, part, part)
    return float(np.nanmean(np.abs(rewards(rows, method, part, part) - truth)))


def by_distance(rows: list[Reward]) -> list[str]:
    """The methods, those whose rewards are nearest to Shapley's first."""
    names = dict.fromkeys(row.method for row in rows)
    return sorted(
        names, key=lambda n: distance(rows, n, "prompt") + distance(rows, n, "decode")
    )


def print_table(rows: list[Reward]) -> None:
    table = Table(
        title="Reward for halving, mean over cuts, and mean distance to Shapley's",
        title_justify="left",
    )
    table.add_column("method")
    for part in LENGTHS:
        for tokens in (LENGTHS[part][0], LENGTHS[part][-1]):
            table.add_column(f"{part} of {tokens}", justify="right")
        table.add_column("distance", justify="right")
    for name in by_distance(rows):
        cells = []
        for part in LENGTHS:
            mean = rewards(rows, name, part, part).mean(0)
            cells += [
                f"{mean[0]:.3f}",
                f"{mean[-1]:.3f}",
                f"{distance(rows, name, part):.3f}",
            ]
        table.add_row(name, *cells)
    Console(width=110).print(table)


def write(rows: list[Reward], folder: pathlib.Path) -> list[pathlib.Path]:
    """The paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    csv = folder / "incentive_curves.csv"
    columns = dict(zip(Reward._fields, map(list, zip(*rows, strict=True)), strict=True))
    pa_csv.write_csv(pa.table(columns), csv, pa_csv.WriteOptions(quoting_style="none"))
    figure = draw(rows)
    images = [csv.with_suffix(suffix) for suffix in (".png", ".svg")]
    # A figure of the same numbers is the same file.
    with matplotlib.rc_context({"svg.hashsalt": "incentive_curves"}):
        figure.savefig(images[0], dpi=150)
        figure.savefig(images[1], metadata={"Date": None})
    return [csv, *images]


def draw(rows: list[Reward]) -> Figure:
    """Mean reward against the length of the part that is halved."""
    figure = Figure(figsize=(9.5, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(LENGTHS), sharey=True)
    others = [name for name in by_distance(rows) if name != TRUTH]
    for axes, part in zip(panels, LENGTHS, strict=True):
        for i, name in enumerate(others):
            mean = rewards(rows, name, part, part).mean(0)
            again = i >= len(_PALETTE)
            style = {"linestyle": "--" if again else "-", "linewidth": 1.3}
            colour = _PALETTE[i % len(_PALETTE)]
            axes.plot(LENGTHS[part], mean, color=colour, label=name, **style)
        truth = rewards(rows, TRUTH, part, part).mean(0)
        axes.plot(LENGTHS[part], truth, "ko:", linewidth=2, markersize=4, label=TRUTH)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        name = "prompt" if part == "prompt" else "answer"
        axes.set_xlabel(f"{name} (tokens)")
        axes.set_title(f"reward for halving the {name}", loc="left", fontsize="medium")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("part of the bill that is saved")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center",
                  frameon=False, fontsize="small")  # fmt: skip
    return figure


if __name__ == "__main__":
    main()
