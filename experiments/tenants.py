"""A chatbot and a document-analysis tenant share one GPU: who should pay how much.

    python experiments/tenants.py [--limit DRAWS] [--out FOLDER]

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

import argparse
import ast
import csv as csv_rows
import functools
import gzip
import json
import os
import pathlib
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
from rich.table import Table  # noqa: E402

import carbjax as cj  # noqa: E402

_ROOT = pathlib.Path(__file__).parents[1]
_TENANTS = pathlib.Path("servegen", "deepseek-r1")
CLIENTS = {"chatbot": 54, "document analysis": 19}
NUM_DRAWS = 6
WINDOW_S, PERIOD_S = 600, 21_600
NUM_REQUESTS = 192  # of a draw; a new number is a new compilation
ENOUGH = 1.3  # expected requests of a window, for each one that is taken
LEAST_RATE = 0.1  # requests a second, of each tenant
# How many times faster they arrive than recorded; the time is cut to keep the requests.
LOADS = {"as recorded": 1.0, "4 x": 4.0, "8 x": 8.0}
TRUTH = "shapley"
METHODS = (
    TRUTH,
    "streaming",
    "iteration_tokens",
    "iteration_equal",
    "time",
    "energy_per_token",
    "utilization",
    "tokens_priced",
    "demand",
    "leave_one_out",
    "tokens",
)
SEED = 2025
_PERCENT = 100.0
_DECIMALS = 6
# Okabe and Ito's palette, one a load.
_COLOURS = dict(zip(LOADS, ("#56B4E9", "#0072B2", "#D55E00"), strict=True))
_MARKERS = dict(zip(LOADS, "osD", strict=True))


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
    parser = argparse.ArgumentParser(description="Two real tenants on one GPU.")
    parser.add_argument("--limit", type=int, default=NUM_DRAWS, help="number of draws")
    parser.add_argument("--out", type=pathlib.Path, default=_ROOT / "figures")
    arguments = parser.parse_args()
    if arguments.limit < 1:
        parser.error(f"--limit is {arguments.limit}; give at least 1.")
    if not folder().is_dir():
        parser.error(
            f"there is no folder {folder()}; set CARBJAX_DATA to the folder that holds "
            f"{_TENANTS}."
        )
    cj.enable_compilation_cache()
    rows = measure(arguments.limit)
    print_table(rows)
    for written in write(rows, arguments.out):
        print(f"wrote {written}")


def folder() -> pathlib.Path:
    """Where the tenants' files should lie: in CARBJAX_DATA, else beside the checkout."""
    data = os.environ.get("CARBJAX_DATA") or _ROOT.parent / "shared" / "data"
    return pathlib.Path(data) / _TENANTS


def measure(num_draws: int, loads: dict[str, float] | None = None) -> list[Bill]:
    """A row for each draw, load and method."""
    system = cj.System.load("h200-sxm", "llama-3.1-8b")
    rows = []
    for number in range(num_draws):
        drawn = draw_workload(number)
        for load, factor in (LOADS if loads is None else loads).items():
            workload = cj.Workload(
                drawn.arrival_s / factor,
                drawn.num_prefill_tokens,
                drawn.num_decode_tokens,
                drawn.player,
                player_names=tuple(CLIENTS),
            )
            rows += _bills(number, load, workload, system)
    return rows


def _bills(number: int, load: str, workload: cj.Workload, system: cj.System) -> list[Bill]:
    timeline = cj.serve(workload, system)
    together = timeline.residence_s.sum() / timeline.busy_s
    sizes = np.bincount(workload.player).tolist()
    divided = timeline.carbon_g - float(timeline.standing.total)
    bills = []
    for name in METHODS:
        shares = cj.attribute(workload, system, name).shares
        numbers = shares[1] / divided, 1 - shares.sum() / divided
        documents, unpaid = (round(float(x), _DECIMALS) + 0.0 for x in numbers)
        bills.append(
            Bill(
                draw=number,
                num_chatbot=sizes[0],
                num_documents=sizes[1],
                load=load,
                concurrency=round(float(together), _DECIMALS),
                method=name,
                documents_part=documents,
                unpaid_part=unpaid,
            )
        )
    return bills


def draw_workload(number: int) -> cj.Workload:
    """The first requests of both tenants; always the same for the same number."""
    rng = np.random.default_rng((SEED, number))
    start = int(rng.choice(_busy_windows()))
    tenants = [_tenant(client, start, rng) for client in CLIENTS.values()]
    arrival, prompt, answer = (np.concatenate(part) for part in zip(*tenants, strict=True))
    player = np.repeat(np.arange(len(tenants)), [len(t[0]) for t in tenants])
    order = np.argsort(arrival)[:NUM_REQUESTS]
    if len(order) < NUM_REQUESTS:
        raise ValueError(f"draw {number} has {len(order)} requests, not {NUM_REQUESTS}.")
    return cj.Workload(arrival[order], prompt[order], answer[order], player[order])


def _busy_windows() -> list[int]:
    """Starts of windows with lengths and enough requests of both tenants."""
    starts = []
    for start in _windows(CLIENTS["chatbot"]):
        rates = [float(_windows(client)[start][1]) for client in CLIENTS.values()]
        period = str(start - start % PERIOD_S)
        known = all(_lengths(c)[period]["input_tokens"] != "{}" for c in CLIENTS.values())
        enough = sum(rates) * WINDOW_S > ENOUGH * NUM_REQUESTS
        if known and enough and min(rates) > LEAST_RATE:
            starts.append(start)
    return starts


@functools.cache
def _windows(client: int) -> dict[int, list[str]]:
    """The rows of the tenant's arrivals by the start of their window."""
    with gzip.open(folder() / f"chunk-{client}-trace.csv.gz", "rt") as file:
        return {int(float(row[0])): row for row in csv_rows.reader(file)}


@functools.cache
def _lengths(client: int) -> dict[str, dict[str, str]]:
    """The tenant's distributions of lengths by the start of their period."""
    with gzip.open(folder() / f"chunk-{client}-dataset.json.gz", "rt") as file:
        return json.load(file)


def _tenant(
    client: int, start: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrivals (s) and lengths that this tenant's distributions give in a window."""
    _, rate, _, pattern, shape, scale = _windows(client)[start]
    arrival = _arrivals(pattern, float(rate), float(shape), float(scale), rng)
    lengths = _lengths(client)[str(start - start % PERIOD_S)]
    prompt, answer = (
        _sample(lengths[name], len(arrival), rng)
        for name in ("input_tokens", "output_tokens")
    )
    return arrival, prompt, answer


def _arrivals(
    pattern: str, rate: float, shape: float, scale: float, rng: np.random.Generator
) -> np.ndarray:
    """Renewals of the fitted distribution, brought to the window's mean rate."""
    count = 2 * int(rate * WINDOW_S) + 64
    if pattern == "Gamma":
        gaps = rng.gamma(shape, scale, count)
    elif pattern == "Weibull":
        gaps = scale * rng.weibull(shape, count)
    else:
        raise ValueError(f"the tenant is not active in this window ({pattern!r}).")
    times = np.cumsum(gaps / gaps.mean() / rate)
    return times[times < WINDOW_S]


def _sample(text: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths drawn from a distribution written as a Python dictionary."""
    distribution = ast.literal_eval(text)
    tokens = np.array(list(distribution), float).astype(int)
    part = np.array(list(distribution.values()))
    return rng.choice(tokens, count, p=part / part.sum())


def _where(rows: list[Bill], method: str, load: str) -> list[Bill]:
    return [row for row in rows if (row.method, row.load) == (method, load)]


def documents_parts(rows: list[Bill], method: str, load: str) -> np.ndarray:
    """What document analysis pays, in parts of what is divided, by draw."""
    return np.array([row.documents_part for row in _where(rows, method, load)])


def print_table(rows: list[Bill]) -> None:
    loads = list(dict.fromkeys(row.load for row in rows))
    table = Table(
        title="Part that document analysis pays (%), median over draws",
        title_justify="left",
    )
    table.add_column("method")
    for load in loads:
        together = np.median([row.concurrency for row in _where(rows, TRUTH, load)])
        table.add_column(f"{load} ({together:.1f} at a time)", justify="right")
        table.add_column("off by", justify="right")
    for method in METHODS:
        cells = []
        for load in loads:
            found = documents_parts(rows, method, load)
            off = np.abs(found - documents_parts(rows, TRUTH, load))
            cells += [f"{_PERCENT * np.median(x):.1f}" for x in (found, off)]
        table.add_row(method, *cells)
    console = Console(width=110)
    console.print(table)
    first = [row for row in rows if row.method == TRUTH and row.load == loads[0]]
    sent = sum(row.num_documents for row in first)
    whole = sent + sum(row.num_chatbot for row in first)
    console.print(f"{whole} requests, {sent / whole:.0%} of document analysis")


def write(rows: list[Bill], into: pathlib.Path) -> list[pathlib.Path]:
    """The paths written."""
    into.mkdir(parents=True, exist_ok=True)
    csv = into / "tenants.csv"
    columns = dict(zip(Bill._fields, map(list, zip(*rows, strict=True)), strict=True))
    pa_csv.write_csv(pa.table(columns), csv, pa_csv.WriteOptions(quoting_style="none"))
    figure = draw(rows)
    images = [csv.with_suffix(suffix) for suffix in (".png", ".svg")]
    # A figure of the same numbers is the same file.
    with matplotlib.rc_context({"svg.hashsalt": "tenants"}):
        figure.savefig(images[0], dpi=150)
        figure.savefig(images[1], metadata={"Date": None})
    return [csv, *images]


def draw(rows: list[Bill]) -> Figure:
    """Median and span of document analysis' part, by method and load."""
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    loads = list(dict.fromkeys(row.load for row in rows))
    for load, offset in zip(loads, np.linspace(-0.25, 0.25, len(loads)), strict=True):
        spans = [
            np.quantile(documents_parts(rows, name, load), (0.0, 0.5, 1.0))
            for name in METHODS
        ]
        low, middle, high = _PERCENT * np.array(spans).T
        axes.errorbar(
            middle,
            np.arange(len(METHODS)) + offset,
            xerr=(middle - low, high - middle),
            fmt=_MARKERS[load],
            color=_COLOURS[load],
            markersize=5,
            elinewidth=1.2,
            label=load,
        )
        axes.axvline(middle[0], color=_COLOURS[load], linewidth=0.8, alpha=0.6)
    axes.set_yticks(range(len(METHODS)), METHODS)
    axes.invert_yaxis()
    axes.set_xlim(0, _PERCENT)
    axes.set_xlabel("part of the carbon above idle that document analysis pays (%)")
    axes.set_title(
        "Two ServeGen tenants on an H200, Llama-3.1-8B\n"
        "median and range of the draws; lines: exact Shapley",
        fontsize="medium",
        loc="left",
    )
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, title="arrivals")
    return figure


if __name__ == "__main__":
    main()
