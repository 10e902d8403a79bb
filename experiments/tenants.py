"""A chatbot and a document-analysis tenant share one GPU: who should pay how much.

    python -m experiments.tenants [CONFIG] [--set KEY=VALUE] [--out FOLDER]

The situation of section 2.2 of the paper, with the arrivals and lengths of two real
tenants of an Alibaba service (ServeGen, deepseek-r1 clients 54 and 19). ServeGen does not
say what they do; we call the one with short prompts (373 tokens on average, answers of
416) the chatbot and the one with long prompts (4556, answers of 339) document analysis.
Each draw is the first 192 requests of ten minutes in one of their six-hour periods,
arrivals from the fitted inter-arrival times, served by an H200 (Llama-3.1-8B) as recorded
and 4 and 8 times as fast. With two tenants as players the exact Shapley value takes four
runs.

Prints a table, writes `tenants.csv`, `.png` and `.svg`.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from rich.table import Table

import carbjax as cj
from experiments.workbench.cuts import compress
from experiments.workbench.drawing import BLUE, RED, SKY, draw_spans, new_figure, tidy
from experiments.workbench.servegen import FOLDER, Window, draw_window
from experiments.workbench.settings import begin
from experiments.workbench.tables import console, to_table, where, write

NAME = "tenants"
TRUTH = "shapley"
DOCUMENTS = 1  # which of the two tenants is looked at
_PERCENT = 100.0
_DECIMALS = 6
_COLOURS = (SKY, BLUE, RED)


class Settings(NamedTuple):
    """Who is served how fast, as the configuration says."""

    accelerator: str
    model: str
    num_draws: int
    num_requests: int
    window_s: float
    enough: float
    least_rate: float
    seed: int
    methods: tuple[str, ...]
    clients: dict[str, int]
    loads: dict[str, float]


class Bill(NamedTuple):
    """One method's bill of one draw at one load; a row of the CSV."""

    draw: int
    num_chatbot: int  # requests
    num_documents: int
    load: str
    concurrency: float  # mean number of requests on the machine
    method: str
    documents_part: float  # of what is divided by Shapley; the chatbot's is the rest
    unpaid_part: float  # what the method leaves over of it


def main() -> None:
    settings, out = begin(__doc__, NAME, Settings, [FOLDER])
    rows = to_table(measure(settings))
    print_table(rows, settings)
    write(NAME, {NAME: rows}, draw(rows, settings), out)


def measure(settings: Settings) -> list[Bill]:
    """A row for each draw, load and method."""
    system = cj.System.load(settings.accelerator, settings.model)
    rows = []
    for number in range(settings.num_draws):
        drawn = draw_workload(number, settings)
        for load, factor in settings.loads.items():
            faster = compress(drawn, factor)
            workload = cj.Workload(
                faster.arrival_s,
                faster.num_prefill_tokens,
                faster.num_decode_tokens,
                drawn.player,
                player_names=tuple(settings.clients),
            )
            rows += _bills(number, load, workload, system, settings.methods)
    return rows


def _bills(
    number: int,
    load: str,
    workload: cj.Workload,
    system: cj.System,
    methods: tuple[str, ...],
) -> list[Bill]:
    timeline = cj.serve(workload, system)
    together = timeline.residence_s.sum() / timeline.busy_s
    chatbot, documents = np.bincount(workload.player).tolist()
    divided = timeline.carbon_g - float(timeline.standing.total)
    bills = []
    for name in methods:
        shares = cj.attribute(workload, system, name).shares
        numbers = together, shares[DOCUMENTS] / divided, 1 - shares.sum() / divided
        concurrency, part, unpaid = (round(float(x), _DECIMALS) + 0.0 for x in numbers)
        sizes = number, chatbot, documents
        bills.append(Bill(*sizes, load, concurrency, name, part, unpaid))
    return bills


def draw_workload(number: int, settings: Settings) -> cj.Workload:
    """The first requests of both tenants; always the same for the same number."""
    window = Window(
        tuple(settings.clients.values()),
        settings.window_s,
        settings.num_requests,
        settings.enough,
        settings.least_rate,
    )
    return draw_window(window, np.random.default_rng((settings.seed, number)))


def documents_parts(rows: pa.Table, method: str, load: str) -> np.ndarray:
    """What document analysis pays, in parts of what is divided, by draw."""
    return where(rows, method=method, load=load)["documents_part"].to_numpy()


def off_by(rows: pa.Table, method: str, load: str) -> np.ndarray:
    """Percentage points that document analysis pays above Shapley's bill, by draw."""
    found, truth = (documents_parts(rows, name, load) for name in (method, TRUTH))
    return _PERCENT * (found - truth)


def print_table(rows: pa.Table, settings: Settings) -> None:
    table = Table(
        title="Part that document analysis pays (%), and how far from Shapley's bill",
        title_justify="left",
    )
    table.add_column("method")
    for load in settings.loads:
        together = np.median(where(rows, method=TRUTH, load=load)["concurrency"])
        table.add_column(f"{load} ({together:.1f} at a time)", justify="right")
        table.add_column("off by", justify="right")
    for method in settings.methods:
        cells = []
        for load in settings.loads:
            found = _PERCENT * documents_parts(rows, method, load)
            off = np.abs(off_by(rows, method, load))
            cells += [f"{np.median(x):.1f}" for x in (found, off)]
        table.add_row(method, *cells)
    console().print(table)
    first = where(rows, method=TRUTH, load=next(iter(settings.loads)))
    sent = int(np.sum(first["num_documents"]))
    whole = sent + int(np.sum(first["num_chatbot"]))
    console().print(f"{whole} requests, {sent / whole:.0%} of document analysis")


def draw(rows: pa.Table, settings: Settings) -> Figure:
    """What document analysis pays above its true bill, by method and load."""
    names = [name for name in settings.methods if name != TRUTH]
    figure, ((axes,),) = new_figure(7.5, 4.8)
    spans = {}
    for load in settings.loads:
        true = _PERCENT * np.median(documents_parts(rows, TRUTH, load))
        spans[f"{load} ({true:.0f}%)"] = np.array(
            [np.quantile(off_by(rows, name, load), (0.0, 0.5, 1.0)) for name in names]
        )
    colours = dict(zip(spans, _COLOURS, strict=False))
    draw_spans(axes, names, spans, colours)
    axes.axvline(0, color="#000000", linewidth=0.8)
    axes.set_xlabel(
        "what document analysis pays above its exact Shapley share\n"
        "(percentage points of the carbon above idle)"
    )
    title = f"Two ServeGen tenants, {settings.accelerator}, {settings.model}\n"
    tidy(axes, f"{title}median and range of {settings.num_draws} draws", grid="x")
    axes.legend(frameon=False, title="arrivals (Shapley's share)", fontsize="small")
    return figure


if __name__ == "__main__":
    main()
