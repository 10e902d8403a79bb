"""What each token of a long answer costs, by its position: alone and in a crowd.

    python experiments/long_generation.py [--limit TOKENS] [--out FOLDER]

One request with a prompt of 500 tokens and an answer of up to 20,000 on an H200
(Llama-3.1-8B), alone and with 15 others whose answers are longer. Their prompts have
1,000 to 8,000 tokens, and were read before it came. Its answer is stopped at token k, for
many k, and everything is served and attributed anew (`cj.stopping_curve`): the slope of
its bill is the price of the tokens about k. Beside it stands what the whole machine saves
by the same stop.

Prints a table, writes `long_generation.csv`, `.png` and `.svg`.
"""

import argparse
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
LONGEST = 20_000
PROMPT_TOKENS = 500
CROWDS = {"alone": 0, "with 15 others": 15}
OTHER_PROMPTS = 1000, 8000  # spread evenly
LATER_S, LONGER = 10.0, 4000  # it comes later than the others, which go on for longer
METHODS = ("streaming", "iteration_tokens", "time", "tokens")
MACHINE = "saved by the machine"
POINTS = 33
SHOWN = (1, 1000, 8000, 19_000)  # positions of the table
_MICRO = 1e6
# Okabe and Ito's palette.
_COLOURS = {
    "streaming": "#0072B2",
    "iteration_tokens": "#E69F00",
    "time": "#009E73",
    "tokens": "#CC79A7",
    MACHINE: "#000000",
}


class Price(NamedTuple):
    """What a token costs between two stops of an answer; a row of the CSV."""

    crowd: str
    method: str
    from_token: int
    to_token: int
    price_ug: float  # gCO2e a token, times a million


def main() -> None:
    parser = argparse.ArgumentParser(description="Carbon of a token by its position.")
    parser.add_argument("--limit", type=int, default=LONGEST, help="longest answer")
    parser.add_argument("--out", type=pathlib.Path, default=_ROOT / "figures")
    arguments = parser.parse_args()
    if arguments.limit < 2:
        parser.error(f"--limit is {arguments.limit}; give at least 2 tokens.")
    cj.enable_compilation_cache()
    rows = measure(arguments.limit)
    print_table(rows)
    for written in write(rows, arguments.out):
        print(f"wrote {written}")


def measure(longest: int) -> list[Price]:
    """A row for each crowd, method and stretch of the answer."""
    system = cj.System.load("h200-sxm", "llama-3.1-8b")
    stops = np.unique(np.geomspace(1, longest, POINTS).round().astype(int))
    rows = []
    for crowd, size in CROWDS.items():
        others = np.linspace(*OTHER_PROMPTS, size).round().astype(int)
        prompts = np.array([PROMPT_TOKENS, *others])
        answers = longest + LONGER * (np.arange(size + 1) > 0)
        arrival_s = LATER_S * (np.arange(size + 1) == 0)
        workload = cj.Workload(arrival_s, prompts, answers)
        for method in METHODS:
            curve = cj.stopping_curve(workload, system, method, request=0, tokens=stops)
            rows += _prices(crowd, method, stops, curve.share_g)
            if method == METHODS[0]:
                rows += _prices(crowd, MACHINE, stops, -curve.total_saved_g)
    return rows


def _prices(crowd: str, name: str, stops: np.ndarray, grams: np.ndarray) -> list[Price]:
    each = _MICRO * np.diff(grams) / np.diff(stops)
    return [
        Price(crowd, name, int(a), int(b), round(float(price), 6))
        for a, b, price in zip(stops[:-1], stops[1:], each, strict=True)
    ]


def price_at(rows: list[Price], crowd: str, name: str, token: int) -> float:
    """Price of the token at this position, in 1e-6 gCO2e; NaN beyond the answer."""
    found = [
        row.price_ug
        for row in rows
        if (row.crowd, row.method) == (crowd, name)
        and row.from_token <= token < row.to_token
    ]
    return found[0] if found else float("nan")


def print_table(rows: list[Price]) -> None:
    table = Table(title="Price of a token of the answer (1e-6 gCO2e)", title_justify="left")
    for heading in ("crowd", "method", *(f"token {k:,}" for k in SHOWN)):
        table.add_column(heading, justify="right" if heading[:5] == "token" else "left")
    for crowd in CROWDS:
        for name in _COLOURS:
            prices = (price_at(rows, crowd, name, token) for token in SHOWN)
            table.add_row(crowd, name, *(f"{price:.2f}" for price in prices))
    Console(width=110).print(table)


def write(rows: list[Price], folder: pathlib.Path) -> list[pathlib.Path]:
    """The paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    csv = folder / "long_generation.csv"
    columns = dict(zip(Price._fields, map(list, zip(*rows, strict=True)), strict=True))
    pa_csv.write_csv(pa.table(columns), csv, pa_csv.WriteOptions(quoting_style="none"))
    figure = draw(rows)
    images = [csv.with_suffix(suffix) for suffix in (".png", ".svg")]
    # A figure of the same numbers is the same file.
    with matplotlib.rc_context({"svg.hashsalt": "long_generation"}):
        figure.savefig(images[0], dpi=150)
        figure.savefig(images[1], metadata={"Date": None})
    return [csv, *images]


def draw(rows: list[Price]) -> Figure:
    """Price against position, a panel a crowd."""
    figure = Figure(figsize=(8.5, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(CROWDS))
    for axes, crowd in zip(panels, CROWDS, strict=True):
        for name, colour in _COLOURS.items():
            mine = [row for row in rows if (row.crowd, row.method) == (crowd, name)]
            middle = [np.sqrt(row.from_token * row.to_token) for row in mine]
            axes.plot(
                middle,
                [row.price_ug for row in mine],
                color=colour,
                linestyle="--" if name == MACHINE else "-",
                linewidth=1.6,
                label=name,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_ylim(bottom=0)
        axes.set_title(crowd, loc="left", fontsize="medium")
        axes.set_xlabel("position in the answer (tokens)")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("price of a token (1e-6 gCO$_2$e)")
    panels[0].legend(frameon=False)
    return figure


if __name__ == "__main__":
    main()
