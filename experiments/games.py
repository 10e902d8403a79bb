"""How far the reschedule game and the replay game are apart, by load and policy.

    python -m experiments.games [CONFIG] [--set KEY=VALUE] [--out FOLDER]

Both games ask what a coalition of requests emits. The reschedule game serves it anew: it
is the truth here. The replay game keeps the schedule that happened and takes the absent
ones' tokens out: it is what methods that look at one run can know. Runs of ten requests
of the Azure conversation trace are served by one H200 (Llama-3.1-8B), stretched and
compressed. Of each run all coalitions are served in both games; shown is how far their
Shapley values are apart, `sum |difference| / sum`, and how far streaming is from either.

Prints a table, writes `games.csv`, `.png` and `.svg`.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from rich.progress import track
from rich.table import Table

import carbjax as cj
from experiments.workbench.cuts import compress, first_request
from experiments.workbench.drawing import PALETTE, new_figure, tidy
from experiments.workbench.inputs import CONVERSATIONS, conversations
from experiments.workbench.settings import begin
from experiments.workbench.tables import console, to_table, where, write

NAME = "games"
QUANTITIES = {
    "apart": "Shapley values of the two games",
    "to_replay": "streaming from the replay game",
    "to_truth": "streaming from the reschedule game",
}
_PERCENT = 100.0
_DECIMALS = 7


class Settings(NamedTuple):
    """What is served how fast, as the configuration says."""

    accelerator: str
    model: str
    num_cuts: int
    num_requests: int
    policies: tuple[str, ...]
    loads: tuple[float, ...]
    seed: int


class Gap(NamedTuple):
    """One cut at one load; a row of the CSV. Distances are relative to the truth."""

    cut: int
    first_request: int  # its place in the trace, from 0
    policy: str
    load: float  # times as fast as recorded
    concurrency: float  # mean number of requests on the machine
    apart: float  # Shapley values of the two games
    to_replay: float  # streaming from the replay game's
    to_truth: float  # streaming from the reschedule game's


def main() -> None:
    settings, out = begin(__doc__, NAME, Settings, [CONVERSATIONS])
    rows = to_table(measure(conversations(), settings))
    print_table(rows, settings)
    write(NAME, {NAME: rows}, draw(rows, settings), out)


def measure(trace: cj.Workload, settings: Settings) -> list[Gap]:
    """A row for each cut, policy and load."""
    systems = [
        cj.System.load(settings.accelerator, settings.model, policy=policy)
        for policy in settings.policies
    ]
    rows = []
    for cut in track(range(settings.num_cuts), description="cuts", transient=True):
        first = first_request(trace, cut, settings.num_requests, settings.seed)
        requests = trace.select(slice(first, first + settings.num_requests))
        for system in systems:
            for load in settings.loads:
                found = compare(compress(requests, load), system)
                rounded = (round(float(x), _DECIMALS) for x in found)
                rows.append(Gap(cut, first, system.policy, load, *rounded))
    return rows


def compare(workload: cj.Workload, system: cj.System) -> tuple[float, ...]:
    """The last four fields of `Gap`."""
    truth = np.asarray(cj.shapley(cj.ServingGame(workload, system)))
    replay = np.asarray(cj.shapley(cj.ReplayGame(workload, system)))
    timeline = cj.serve(workload, system)
    streaming = cj.attribute(workload, system, "streaming").shares

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return np.abs(one - other).sum() / truth.sum()

    return (
        timeline.residence_s.sum() / timeline.busy_s,
        distance(replay, truth),
        distance(streaming, replay),
        distance(streaming, truth),
    )


def spread_of(rows: pa.Table, policy: str, load: float, quantity: str) -> np.ndarray:
    """10th percentile, median and 90th percentile, percent."""
    part = where(rows, policy=policy, load=load)[quantity].to_numpy()
    return _PERCENT * np.quantile(part, (0.1, 0.5, 0.9))


def print_table(rows: pa.Table, settings: Settings) -> None:
    table = Table(
        title=f"Distances (%), median and 90th percentile of {settings.num_cuts} cuts",
        title_justify="left",
    )
    table.add_column("policy")
    for heading in ("load", "requests at a time", *QUANTITIES.values()):
        table.add_column(heading, justify="right")
    for policy in settings.policies:
        for load in settings.loads:
            part = where(rows, policy=policy, load=load)
            spans = (spread_of(rows, policy, load, name) for name in QUANTITIES)
            table.add_row(
                policy,
                f"{load:g} x",
                f"{np.median(part['concurrency']):.1f}",
                *(f"{span[1]:.2f} ({span[2]:.2f})" for span in spans),
                end_section=load == settings.loads[-1],
            )
    console().print(table)


def draw(rows: pa.Table, settings: Settings) -> Figure:
    """Distances against load, a panel a policy; bands from the 10th to 90th percentile."""
    figure, (panels,) = new_figure(10, 3.8, columns=len(settings.policies), sharey=True)
    places = np.arange(len(settings.loads))
    for axes, policy in zip(panels, settings.policies, strict=True):
        for (quantity, label), colour in zip(QUANTITIES.items(), PALETTE, strict=False):
            spans = [spread_of(rows, policy, load, quantity) for load in settings.loads]
            low, middle, high = np.array(spans).T
            style = "--" if quantity == "to_truth" else "-"
            axes.plot(places, middle, style, marker="o", markersize=3.5, color=colour,
                      linewidth=1.4, label=label)  # fmt: skip
            axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
        at_once = ["at once" if np.isinf(x) else f"{x:g}" for x in settings.loads]
        axes.set_xticks(places, at_once, fontsize="small")
        axes.set_xlabel("times as fast as recorded")
        tidy(axes, policy)
    panels[0].set_yscale("symlog", linthresh=0.01)
    panels[0].set_ylim(bottom=0)
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel("relative distance (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=3, frameon=False, fontsize="small")  # fmt: skip
    return figure


if __name__ == "__main__":
    main()
