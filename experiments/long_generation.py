"""What each token of a long answer costs, by its position: alone and in a crowd.

    python -m experiments.long_generation [CONFIG] [--set KEY=VALUE] [--out FOLDER]

One request with a prompt of 500 tokens and an answer of up to 20,000 on an H200
(Llama-3.1-8B), alone and with 15 others whose answers are longer. Their prompts have
1,000 to 8,000 tokens, and were read before it came. Its answer is stopped at token k, for
many k, and everything is served and attributed anew (`cj.stopping_curve`): the slope of
its bill is the price of the tokens about k. Beside it stands what the whole machine saves
by the same stop.

Prints a table, writes `long_generation.csv`, `.png` and `.svg`.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

import carbjax as cj
from experiments.workbench.drawing import BLACK, PALETTE, new_figure, tidy
from experiments.workbench.settings import begin
from experiments.workbench.tables import console, to_table, write

NAME = "long_generation"
MACHINE = "saved by the machine"
_MICRO = 1e6


class Settings(NamedTuple):
    """What is served, as the configuration says."""

    accelerator: str
    model: str
    longest: int
    prompt: int
    crowds: tuple[int, ...]
    other_prompts: tuple[int, int]
    later_s: float
    longer: int
    stops: int
    shown: tuple[int, ...]
    methods: tuple[str, ...]


class Price(NamedTuple):
    """What a token costs between two stops of an answer; a row of the CSV."""

    num_others: int
    method: str
    from_token: int
    to_token: int
    price_ug: float  # gCO2e a token, times a million


def main() -> None:
    settings, out = begin(__doc__, NAME, Settings)
    rows = measure(settings)
    print_table(rows, settings)
    write(NAME, {NAME: to_table(rows)}, draw(rows, settings), out)


def measure(settings: Settings) -> list[Price]:
    """A row for each crowd, method and stretch of the answer."""
    system = cj.System.load(settings.accelerator, settings.model)
    places = np.geomspace(1, settings.longest, settings.stops)
    stops = np.unique(places.round().astype(int))
    rows = []
    for crowd in settings.crowds:
        workload = crowded(crowd, settings)
        for method in settings.methods:
            curve = cj.stopping_curve(workload, system, method, request=0, tokens=stops)
            rows += _prices(crowd, method, stops, curve.share_g)
            if method == settings.methods[0]:
                rows += _prices(crowd, MACHINE, stops, -curve.total_saved_g)
    return rows


def crowded(crowd: int, settings: Settings) -> cj.Workload:
    """The request, which is the first, and those who came before it and stay longer."""
    others = np.linspace(*settings.other_prompts, crowd).round().astype(int)
    prompts = np.array([settings.prompt, *others])
    answers = settings.longest + settings.longer * (np.arange(crowd + 1) > 0)
    return cj.Workload(settings.later_s * (np.arange(crowd + 1) == 0), prompts, answers)


def _prices(crowd: int, name: str, stops: np.ndarray, grams: np.ndarray) -> list[Price]:
    each = _MICRO * np.diff(grams) / np.diff(stops)
    return [
        Price(crowd, name, int(a), int(b), round(float(price), 6))
        for a, b, price in zip(stops[:-1], stops[1:], each, strict=True)
    ]


def price_at(rows: list[Price], crowd: int, name: str, token: int) -> float:
    """Price of the token at this position, in 1e-6 gCO2e; NaN beyond the answer."""
    found = [
        row.price_ug
        for row in rows
        if (row.num_others, row.method) == (crowd, name)
        and row.from_token <= token < row.to_token
    ]
    return found[0] if found else float("nan")


def print_table(rows: list[Price], settings: Settings) -> None:
    table = Table(title="Price of a token of the answer (1e-6 gCO2e)", title_justify="left")
    table.add_column("others", justify="right")
    table.add_column("method")
    for token in settings.shown:
        table.add_column(f"token {token:,}", justify="right")
    for crowd in settings.crowds:
        for name in (*settings.methods, MACHINE):
            prices = (price_at(rows, crowd, name, token) for token in settings.shown)
            table.add_row(str(crowd), name, *(f"{price:.2f}" for price in prices))
    console().print(table)


def draw(rows: list[Price], settings: Settings) -> Figure:
    """Price against position, a panel a crowd."""
    figure, panels = new_figure(8.5, 4.0, columns=len(settings.crowds))
    names = (*settings.methods, MACHINE)
    colours = (*PALETTE[: len(settings.methods)], BLACK)
    for axes, crowd in zip(panels[0], settings.crowds, strict=True):
        for name, colour in zip(names, colours, strict=True):
            mine = [row for row in rows if (row.num_others, row.method) == (crowd, name)]
            middle = [np.sqrt(row.from_token * row.to_token) for row in mine]
            prices = [row.price_ug for row in mine]
            style = "--" if name == MACHINE else "-"
            axes.plot(middle, prices, style, color=colour, linewidth=1.6, label=name)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("position in the answer (tokens)")
        tidy(axes, f"with {crowd} others" if crowd else "alone: all methods agree")
    panels[0, 0].set_ylabel("price of a token (1e-6 gCO$_2$e)")
    panels[0, -1].legend(frameon=False, fontsize="small")
    return figure


if __name__ == "__main__":
    main()
