"""How far every method is from the exact Shapley value, on cuts of a real trace.

    python -m experiments.distances [CONFIG] [--set KEY=VALUE] [--out FOLDER]

Runs of 8 and 12 requests are cut from the Azure conversation trace at random places and
served by one H200, with their arrivals as recorded, stretched, and compressed up to all
at once, so that more and more of them share a batch. The truth is the exact Shapley
value of the reschedule game: every coalition is served anew. The distance of a method's
shares is relative, `sum |share - truth| / sum truth`. Beside it stands the distance to
the exact Shapley value of the replay game, which keeps the schedule that happened: what
Shapley's own value is from that is the distance between the two games.

Prints a table, writes `distances.csv`, `distances.png` and `distances.svg`.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from rich.progress import track
from rich.table import Table

import carbjax as cj
from experiments.workbench.cuts import compress, first_request
from experiments.workbench.drawing import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    SKY,
    draw_spans,
    new_figure,
    tidy,
)
from experiments.workbench.inputs import CONVERSATIONS, conversations
from experiments.workbench.judging import TRUTH, judge
from experiments.workbench.settings import begin
from experiments.workbench.tables import console, to_table, where, write

NAME = "distances"
_PERCENT = 100.0
_COLOURS = (GREY, SKY, BLUE, ORANGE, RED)


class Settings(NamedTuple):
    """What is cut and served, as the configuration says."""

    accelerator: str
    model: str
    num_cuts: int
    sizes: tuple[int, ...]
    policies: tuple[str, ...]
    seed: int
    omitted: tuple[str, ...]
    loads: dict[str, float]


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
    settings, out = begin(__doc__, NAME, Settings, [CONVERSATIONS])
    rows = measure(conversations(), settings)
    print_table(rows)
    write(NAME, {NAME: rows}, draw(rows, settings), out)


def measure(trace: cj.Workload, settings: Settings) -> pa.Table:
    """A row for each cut, policy, load and method: the fields of `Distance`."""
    systems = [
        cj.System.load(settings.accelerator, settings.model, policy=policy)
        for policy in settings.policies
    ]
    methods = [name for name in cj.methods() if name not in settings.omitted]
    rows: list[Distance] = []
    for cut in track(range(settings.num_cuts), description="cuts", transient=True):
        size = settings.sizes[cut % len(settings.sizes)]
        first = first_request(trace, cut, size, settings.seed)
        requests = trace.select(slice(first, first + size))
        for system in systems:
            for load, factor in settings.loads.items():
                found = judge(compress(requests, factor), system, methods)
                row = cut, first, size, system.policy, load
                rows += [Distance(*row, *each) for each in found]
    return to_table(rows)


def print_table(rows: pa.Table) -> None:
    num_cuts = len(rows["cut"].unique())
    policies = ", ".join(rows["policy"].unique().to_pylist())
    loads = rows["load"].unique().to_pylist()
    table = Table(
        title=f"Relative Shapley distance (%): {num_cuts} cuts, {policies}",
        title_justify="left",
    )
    for heading in ("method", "load"):
        table.add_column(heading)
    for heading in ("requests at a time", "median", "90th", "max", "median to replay"):
        table.add_column(heading, justify="right")
    for method in by_median(rows):
        of_method = where(rows, method=method)
        for load in (*loads, "all"):
            part = of_method if load == "all" else where(of_method, load=load)
            together, to_replay = (
                np.median(part[name]) for name in ("concurrency", "replay_distance")
            )
            table.add_row(
                method if load == loads[0] else "",
                load,
                f"{together:.1f}",
                *(f"{x:.2f}" for x in _PERCENT * np.array([*summary(part), to_replay])),
                end_section=load == "all",
                style="bold" if load == "all" else None,
            )
    console().print(table)


def summary(rows: pa.Table) -> np.ndarray:
    """Median, 90th percentile and largest distance."""
    return np.quantile(rows["distance"].to_numpy(), (0.5, 0.9, 1.0))


def by_median(rows: pa.Table) -> list[str]:
    """The methods, nearest to the truth first, which is the truth itself."""
    names = rows["method"].unique().to_pylist()
    return sorted(names, key=lambda name: summary(where(rows, method=name))[0])


def draw(rows: pa.Table, settings: Settings) -> Figure:
    """Median and the span from the 10th to the 90th percentile, by method and load."""
    methods = [name for name in by_median(rows) if name != TRUTH]
    figure, ((axes,),) = new_figure(7.5, 4.8)
    spans = {
        _load_label(rows, load): _PERCENT
        * np.array([_spread(where(rows, method=name, load=load)) for name in methods])
        for load in settings.loads
    }
    draw_spans(axes, methods, spans, dict(zip(spans, _COLOURS, strict=False)))
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("relative distance to the exact Shapley value (%)")
    sizes = " and ".join(map(str, settings.sizes))
    title = (
        f"{settings.num_cuts} cuts of {sizes} requests of the Azure conversation trace, "
        f"{settings.accelerator}, {settings.model}\nmedian, 10th to 90th percentile"
    )
    tidy(axes, title, grid="x")
    axes.legend(frameon=False, title="arrivals (requests at a time)")
    return figure


def _spread(rows: pa.Table) -> np.ndarray:
    return np.quantile(rows["distance"].to_numpy(), (0.1, 0.5, 0.9))


def _load_label(rows: pa.Table, load: str) -> str:
    together = np.median(where(rows, load=load)["concurrency"])
    return f"{load} ({together:.1f})"


if __name__ == "__main__":
    main()
