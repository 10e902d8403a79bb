"""How far every method is from the exact Shapley value, on cuts of a real trace.

    python experiments/distances.py [--limit CUTS] [--out FOLDER]

Runs of 8 and 12 requests are cut from the Azure conversation trace at random places and
served by one H200, with their arrivals as recorded, stretched, and compressed up to all
at once, so that more and more of them share a batch. The truth is the exact Shapley
value of the reschedule game: every coalition is served anew. The distance of a method's
shares is relative, `sum |share - truth| / sum truth`. Beside it stands the distance to
the exact Shapley value of the replay game, which keeps the schedule that happened: what
Shapley's own value is from that is the distance between the two games.

Prints a table, writes `distances.csv`, `distances.png` and `distances.svg`.
"""

import argparse
import os
import pathlib
from collections.abc import Iterator
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
TRUTH = "shapley"
# A second a run, and far from all of these: docs/aumann_shapley.md has its distances.
OMITTED = ("aumann_shapley",)
NUM_CUTS = 50
# A new number of requests is a new compilation, so there are only two.
SIZES = (8, 12)
POLICIES = ("chunked_prefill", "prefill_first")
# How many times faster the requests arrive than recorded.
LOADS = {"0.1 x": 0.1, "as recorded": 1.0, "3 x": 3.0, "10 x": 10.0, "at once": np.inf}
SEED = 2025
_PERCENT = 100.0
_DECIMALS = 7
# Okabe and Ito's palette, told apart with any kind of colour vision; one a load.
_COLOURS = dict(
    zip(LOADS, ("#999999", "#56B4E9", "#0072B2", "#E69F00", "#D55E00"), strict=True)
)
_MARKERS = dict(zip(LOADS, "vosD^", strict=True))
_WIDTH_WITHOUT_TERMINAL = 110


class Distance(NamedTuple):
    """One method on one cut at one load; a row of the CSV."""

    cut: int
    first_request: int  # its place in the trace, from 0
    num_requests: int
    policy: str
    load: str
    concurrency: float  # mean number of requests on the machine
    method: str
    distance: float  # relative, to the Shapley value of the reschedule game
    replay_distance: float  # relative, to that of the replay game


def main() -> None:
    parser = argparse.ArgumentParser(description="Shapley distance of every method.")
    parser.add_argument("--limit", type=int, default=NUM_CUTS, help="number of cuts")
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
    rows = measure(cj.read_trace(path, tz="UTC"), arguments.limit)
    print_table(rows)
    for written in write(rows, arguments.out):
        print(f"wrote {written}")


def trace_path() -> pathlib.Path:
    """Where the trace should lie: in CARBJAX_DATA, else beside the checkout."""
    folder = os.environ.get("CARBJAX_DATA") or _ROOT.parent / "shared" / "data"
    return pathlib.Path(folder) / _TRACE


def measure(
    trace: cj.Workload,
    num_cuts: int,
    *,
    sizes: tuple[int, ...] = SIZES,
    policies: tuple[str, ...] = POLICIES,
) -> pa.Table:
    """A row for each cut, policy, load and method: the fields of `Distance`."""
    systems = [cj.System.load("h200-sxm", "llama-3.1-8b", policy=name) for name in policies]
    rows: list[Distance] = []
    for cut in track(range(num_cuts), description="cuts", transient=True):
        size = sizes[cut % len(sizes)]
        first = _first_request(trace, cut, size)
        requests = trace.select(slice(first, first + size))
        for system in systems:
            for load, factor in LOADS.items():
                found = distances(compress(requests, factor), system)
                rows += [
                    Distance(cut, first, size, system.policy, load, *each) for each in found
                ]
    columns = zip(*rows, strict=True)
    return pa.table(dict(zip(Distance._fields, map(list, columns), strict=True)))


def compress(workload: cj.Workload, factor: float) -> cj.Workload:
    """The same requests, each its own player, arriving `factor` times as fast."""
    arrival_s = (workload.arrival_s - workload.start_s) / factor
    return cj.Workload(arrival_s, workload.num_prefill_tokens, workload.num_decode_tokens)


def distances(
    workload: cj.Workload, system: cj.System
) -> Iterator[tuple[float, str, float, float]]:
    """The last four fields of `Distance`, for every method."""
    game, timeline = cj.ServingGame(workload, system), cj.serve(workload, system)
    concurrency = timeline.residence_s.sum() / timeline.busy_s
    shares = {
        name: method(game, workload=workload, system=system, timeline=timeline).shares
        for name, method in cj.methods().items()
        if name not in OMITTED
    }
    truth = shares[TRUTH]
    replay = np.asarray(cj.shapley(cj.ReplayGame(workload, system)))
    for name, found in shares.items():
        distance = np.abs(found - truth).sum() / truth.sum()
        replay_distance = np.abs(found - replay).sum() / truth.sum()
        yield _rounded(concurrency), name, _rounded(distance), _rounded(replay_distance)


def print_table(rows: pa.Table) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL)
    num_cuts = len(rows["cut"].unique())
    table = Table(
        title=f"Relative Shapley distance (%): {num_cuts} cuts, {', '.join(POLICIES)}",
        title_justify="left",
    )
    for heading in ("method", "load"):
        table.add_column(heading)
    for heading in ("requests at a time", "median", "90th", "max", "median to replay"):
        table.add_column(heading, justify="right")
    for method in by_median(rows):
        of_method = _where(rows, method=method)
        for load in (*LOADS, "all"):
            part = of_method if load == "all" else _where(of_method, load=load)
            together, to_replay = (
                np.median(part[name]) for name in ("concurrency", "replay_distance")
            )
            table.add_row(
                method if load == next(iter(LOADS)) else "",
                load,
                f"{together:.1f}",
                *(f"{x:.2f}" for x in _PERCENT * np.array([*summary(part), to_replay])),
                end_section=load == "all",
                style="bold" if load == "all" else None,
            )
    console.print(table)


def summary(rows: pa.Table) -> np.ndarray:
    """Median, 90th percentile and largest distance."""
    return np.quantile(rows["distance"].to_numpy(), (0.5, 0.9, 1.0))


def by_median(rows: pa.Table) -> list[str]:
    """The methods, nearest to the truth first, which is the truth itself."""
    names = rows["method"].unique().to_pylist()
    return sorted(names, key=lambda name: summary(_where(rows, method=name))[0])


def write(rows: pa.Table, folder: pathlib.Path) -> list[pathlib.Path]:
    """The paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    csv = folder / "distances.csv"
    pa_csv.write_csv(rows, csv, pa_csv.WriteOptions(quoting_style="none"))
    figure = draw(rows)
    images = [csv.with_suffix(suffix) for suffix in (".png", ".svg")]
    # A figure of the same numbers is the same file.
    with matplotlib.rc_context({"svg.hashsalt": "distances"}):
        figure.savefig(images[0], dpi=150)
        figure.savefig(images[1], metadata={"Date": None})
    return [csv, *images]


def draw(rows: pa.Table) -> Figure:
    """Median and the span from the 10th to the 90th percentile, by method and load."""
    methods = [name for name in by_median(rows) if name != TRUTH]
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    offsets = np.linspace(-0.3, 0.3, len(LOADS))
    for load, offset in zip(LOADS, offsets, strict=True):
        parts = [_where(rows, method=name, load=load) for name in methods]
        spans = [np.quantile(p["distance"].to_numpy(), (0.1, 0.5, 0.9)) for p in parts]
        low, median, high = _PERCENT * np.array(spans).T
        axes.errorbar(
            median,
            np.arange(len(methods)) + offset,
            xerr=(median - low, high - median),
            fmt=_MARKERS[load],
            color=_COLOURS[load],
            markersize=5,
            elinewidth=1.2,
            label=_load_label(rows, load),
        )
    _label(axes, methods, len(rows["cut"].unique()))
    return figure


def _label(axes, methods: list[str], num_cuts: int) -> None:
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(methods)), methods)
    axes.invert_yaxis()
    axes.set_xlabel("relative distance to the exact Shapley value (%)")
    axes.set_title(
        f"{num_cuts} cuts of 8 and 12 requests of the Azure conversation trace, H200, "
        "Llama-3.1-8B\nmedian, 10th to 90th percentile",
        fontsize="medium",
        loc="left",
    )
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, title="arrivals (requests at a time)")


def _load_label(rows: pa.Table, load: str) -> str:
    together = np.median(_where(rows, load=load)["concurrency"])
    return f"{load} ({together:.1f})"


def _rounded(number: float) -> float:
    return round(float(number), _DECIMALS)


def _where(rows: pa.Table, **wanted: str) -> pa.Table:
    for column, value in wanted.items():
        rows = rows.filter(pa.array(rows[column].to_numpy() == value))
    return rows


def _first_request(trace: cj.Workload, cut: int, size: int) -> int:
    """A random place for the cut, the same whatever the number of cuts."""
    return int(np.random.default_rng((SEED, cut)).integers(trace.num_requests - size + 1))


if __name__ == "__main__":
    main()
