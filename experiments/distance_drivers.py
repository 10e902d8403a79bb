"""What moves methods away from Shapley: batch cap, policy and bursts of arrivals.

    python -m experiments.distance_drivers [CONFIG] [--set KEY=VALUE] [--out FOLDER]

Runs of ten requests are cut from the Azure conversation trace and served by one H200
(Llama-3.1-8B), arriving three times as fast as recorded. One thing is varied at a time:
how many requests may share a batch (`max_num_seqs`), the scheduler's policy, and how
bursty arrivals are, with the same requests and the same mean time between them. The truth
is the exact Shapley value of the reschedule game.

Prints a table, writes `distance_drivers.csv`, `.png` and `.svg`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.progress import track
from rich.table import Table

import carbjax as cj
from experiments.workbench.cuts import compress, first_request
from experiments.workbench.drawing import MARKERS, PALETTE, new_figure, tidy
from experiments.workbench.inputs import CONVERSATIONS, conversations
from experiments.workbench.judging import TRUTH, judge
from experiments.workbench.settings import begin
from experiments.workbench.tables import console, to_table, where, write

NAME = "distance_drivers"
LABELS = {
    "batch cap": "requests that may share a batch",
    "policy": "policy",
    "burstiness": "spread of the time between arrivals\n(1: Poisson)",
}
_PERCENT = 100.0


class Settings(NamedTuple):
    """What is varied, as the configuration says."""

    accelerator: str
    model: str
    num_cuts: int
    num_requests: int
    load: float
    seed: int
    policy: str
    max_num_seqs: int
    batch_caps: tuple[int, ...]
    policies: tuple[str, ...]
    burstiness: tuple[float, ...]
    methods: tuple[str, ...]


class Distance(NamedTuple):
    """One method on one cut; a row of the CSV."""

    cut: int
    first_request: int  # its place in the trace, from 0
    driver: str  # what is varied,
    value: str  # and what it is
    concurrency: float  # mean number of requests on the machine
    method: str
    distance: float  # relative, to the Shapley value of the reschedule game
    replay_distance: float  # relative, to that of the replay game


def main() -> None:
    settings, out = begin(__doc__, NAME, Settings, [CONVERSATIONS])
    rows = measure(conversations(), settings)
    print_table(rows, settings)
    write(NAME, {NAME: rows}, draw(rows, settings), out)


def measure(trace: cj.Workload, settings: Settings) -> pa.Table:
    """A row for each cut, driver, value and method: the fields of `Distance`."""
    rows: list[Distance] = []
    for cut in track(range(settings.num_cuts), description="cuts", transient=True):
        first = first_request(trace, cut, settings.num_requests, settings.seed)
        requests = trace.select(slice(first, first + settings.num_requests))
        workload = compress(requests, settings.load)
        for driver, value, system, served in _variants(workload, settings, cut):
            found = judge(served, system, settings.methods)
            rows += [Distance(cut, first, driver, value, *each) for each in found]
    return to_table(rows)


def _variants(
    workload: cj.Workload, settings: Settings, cut: int
) -> Iterator[tuple[str, str, cj.System, cj.Workload]]:
    """Driver and value, and who then serves what."""
    for cap in settings.batch_caps:
        yield "batch cap", f"{cap}", load_system(settings, max_num_seqs=cap), workload
    for policy in settings.policies:
        yield "policy", policy, load_system(settings, policy=policy), workload
    for spread in settings.burstiness:
        rng = np.random.default_rng((settings.seed, cut, 1))
        arrivals = bursty(workload, spread, rng)
        yield "burstiness", f"{spread:g}", load_system(settings), arrivals


def load_system(
    settings: Settings, policy: str | None = None, max_num_seqs: int | None = None
) -> cj.System:
    return cj.System.load(
        settings.accelerator,
        settings.model,
        policy=policy or settings.policy,
        max_num_seqs=max_num_seqs or settings.max_num_seqs,
    )


def bursty(workload: cj.Workload, spread: float, rng: np.random.Generator) -> cj.Workload:
    """The requests in the same whole time, with gaps of a Gamma distribution.

    `spread` is the standard deviation of a gap over its mean; at 0 all are equal.
    """
    count = workload.num_requests - 1
    gaps = np.ones(count) if spread == 0 else rng.gamma(spread**-2, size=count)
    whole = workload.arrival_s[-1] - workload.arrival_s[0]
    arrival_s = np.append(0.0, whole * np.cumsum(gaps) / gaps.sum())
    return cj.Workload(arrival_s, workload.num_prefill_tokens, workload.num_decode_tokens)


def values(rows: pa.Table, driver: str) -> list[str]:
    return where(rows, driver=driver)["value"].unique().to_pylist()


def spread_of(rows: pa.Table, driver: str, value: str, method: str) -> np.ndarray:
    """10th percentile, median and 90th percentile of the distance, percent."""
    part = where(rows, driver=driver, value=value, method=method)["distance"].to_numpy()
    return _PERCENT * np.quantile(part, (0.1, 0.5, 0.9))


def apart(rows: pa.Table, driver: str, value: str) -> float:
    """Median distance between the Shapley values of the two games, percent."""
    part = where(rows, driver=driver, value=value, method=TRUTH)
    return _PERCENT * float(np.median(part["replay_distance"]))


def together(rows: pa.Table, driver: str, value: str) -> float:
    """Median number of requests on the machine."""
    part = where(rows, driver=driver, value=value, method=TRUTH)
    return float(np.median(part["concurrency"]))


def print_table(rows: pa.Table, settings: Settings) -> None:
    for driver in LABELS:
        table = Table(
            title=f"Median distance to Shapley (%) by {driver}", title_justify="left"
        )
        table.add_column("method")
        for value in values(rows, driver):
            table.add_column(value, justify="right")
        for what, number in (("requests at a time", together), ("games apart", apart)):
            cells = (f"{number(rows, driver, v):.2f}" for v in values(rows, driver))
            table.add_row(what, *cells, style="bold")
        for name in _judged(settings):
            spans = (spread_of(rows, driver, v, name) for v in values(rows, driver))
            table.add_row(name, *(f"{span[1]:.2f}" for span in spans))
        console().print(table)


def _judged(settings: Settings) -> list[str]:
    return [name for name in settings.methods if name != TRUTH]


def draw(rows: pa.Table, settings: Settings) -> Figure:
    """Median and the span from the 10th to the 90th percentile, a panel a driver."""
    widths = [len(values(rows, driver)) for driver in LABELS]
    figure, (panels,) = new_figure(
        11, 4.4, columns=len(LABELS), sharey=True, width_ratios=widths
    )
    for axes, driver in zip(panels, LABELS, strict=True):
        _draw_panel(axes, rows, driver, _judged(settings))
        tidy(axes)
    panels[0].set_yscale("symlog", linthresh=0.1)
    panels[0].set_ylim(bottom=0)
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel("distance to the exact Shapley value (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center",
                  frameon=False, fontsize="small")  # fmt: skip
    return figure


def _draw_panel(axes: Axes, rows: pa.Table, driver: str, methods: list[str]) -> None:
    places = np.arange(len(values(rows, driver)))
    for k, name in enumerate(methods):
        spans = [spread_of(rows, driver, value, name) for value in values(rows, driver)]
        low, middle, high = np.array(spans).T
        again = k >= len(PALETTE)  # a colour that is used again is hollow and dashed
        line = "" if driver == "policy" else "--" if again else "-"
        axes.errorbar(
            places + 0.05 * (k - len(methods) / 2),
            middle,
            yerr=(middle - low, high - middle),
            fmt=MARKERS[k % len(MARKERS)] + line,
            fillstyle="none" if again else "full",
            color=PALETTE[k % len(PALETTE)],
            markersize=4,
            linewidth=1.2,
            elinewidth=0.7,
            label=name,
        )
    axes.set_xticks(places, [x.replace("_", "\n") for x in values(rows, driver)])
    axes.set_xlabel(LABELS[driver])


if __name__ == "__main__":
    main()
