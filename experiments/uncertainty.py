"""How sure a bill is: embodied carbon, PUE, intensity and cost model, carried through.

    python -m experiments.uncertainty [CONFIG] [--set KEY=VALUE] [--out FOLDER]

The first 64 requests of the Azure conversation trace on one GPU (Llama-3.1-8B), each a
player, by streaming. What is published of GPUs' embodied carbon, lifetimes and PUE, what a
life-cycle series or a yearly mean leaves open of the intensity, and the surrogate's
measured errors are drawn, and `cj.share_ranges` says between what every share lies. Always
on, idle carbon is spread by usage, so that the bills hold everything.

Prints a table, writes `uncertainty.csv`, `.png` and `.svg`.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from rich.table import Table

import carbjax as cj
from experiments.workbench.drawing import BLUE, GREEN, ORANGE, PINK, new_figure, tidy
from experiments.workbench.inputs import CONVERSATIONS, conversations
from experiments.workbench.settings import begin
from experiments.workbench.tables import console, to_table, where, write

NAME = "uncertainty"
SOURCES = {
    "intensity": "carbon intensity",
    "embodied": "embodied carbon and lifetime",
    "surrogate": "cost model",
    "pue": "PUE",
}
_COLOURS = dict(zip(SOURCES, (BLUE, ORANGE, GREEN, PINK), strict=True))
_PERCENT = 100.0
_DECIMALS = 6


class Settings(NamedTuple):
    """What is served and drawn, as the configuration says."""

    model: str
    accelerators: tuple[str, ...]
    num_requests: int
    method: str
    level: float
    num_draws: int
    num_runs: int
    kinds: dict[str, list[float]]
    intensity: float
    provisioning: tuple[str, ...]


class Range(NamedTuple):
    """The median request's range by one source, or by all; a row of the CSV."""

    accelerator: str
    provisioning: str
    kind: str  # what is known of the intensity
    source: str
    low: float  # relative to the share with the inputs as given, median over requests
    high: float
    spread_of_requests: float  # largest less least `high - low` of a request
    variance_part: float


def main() -> None:
    settings, out = begin(__doc__, NAME, Settings, [CONVERSATIONS])
    workload = conversations().select(slice(0, settings.num_requests))
    rows = to_table(measure(workload, settings))
    print_table(rows)
    write(NAME, {NAME: rows}, draw(rows, settings), out)


def measure(workload: cj.Workload, settings: Settings) -> list[Range]:
    """A row for each GPU, provisioning, kind of intensity and source."""
    rows = []
    for gpu in settings.accelerators:
        for provisioning in settings.provisioning:
            system = cj.System.load(
                gpu,
                settings.model,
                carbon_intensity=settings.intensity,
                provisioning=provisioning,
            )
            for kind in settings.kinds:
                found = ranges(workload, system, kind, settings)
                rows += [Range(gpu, provisioning, kind, *each) for each in found]
    return rows


def ranges(
    workload: cj.Workload, system: cj.System, kind: str, settings: Settings
) -> list[tuple[str, float, float, float, float]]:
    """The last five fields of `Range`, of all sources together and of each."""
    given = cj.published_uncertainties(system)
    low, high = settings.kinds[kind]
    found = cj.share_ranges(
        workload,
        system,
        settings.method,
        dataclasses.replace(given, intensity=(low, high)),
        idle="usage" if system.provisioning == "always_on" else "unattributed",
        level=settings.level,
        num_draws=settings.num_draws,
        num_runs=settings.num_runs,
    )
    everything = "all", found.low, found.high, np.ones_like(found.low)
    each = [(s, r.low, r.high, r.part) for s, r in found.sources.items()]
    rows = []
    for source, low, high, part in (everything, *each):
        low, high = low / found.shares, high / found.shares
        numbers = np.median(low), np.median(high), np.ptp(high - low), np.median(part)
        rows.append((source, *(round(float(x), _DECIMALS) for x in numbers)))
    return rows


def print_table(rows: pa.Table) -> None:
    table = Table(title="Range of a request's bill (% of it), median", title_justify="left")
    for heading in ("GPU", "provisioning", "intensity", "source"):
        table.add_column(heading)
    for heading in ("low", "high", "part of the variance"):
        table.add_column(heading, justify="right")
    for row in rows.to_pylist():
        table.add_row(
            *(row[name] for name in ("accelerator", "provisioning", "kind", "source")),
            *(f"{_PERCENT * row[name]:.1f}" for name in ("low", "high", "variance_part")),
            style="bold" if row["source"] == "all" else None,
        )
    console().print(table)


def draw(rows: pa.Table, settings: Settings) -> Figure:
    """Ranges by source and of all, a panel a provisioning and kind of intensity."""
    figure, panels = new_figure(
        10,
        5.2,
        len(settings.kinds),
        len(settings.provisioning),
        sharex=True,
        sharey=True,
    )
    for line, kind in zip(panels, settings.kinds, strict=True):
        for axes, provisioning in zip(line, settings.provisioning, strict=True):
            part = where(rows, kind=kind, provisioning=provisioning)
            _draw_panel(axes, part, settings.accelerators)
            tidy(axes, f"{provisioning.replace('_', ' ')}, {kind}", grid="x")
    panels[0, 0].invert_yaxis()  # all share it
    for axes in panels[-1]:
        axes.set_xlabel(f"{settings.level:.0%} range of a bill (% of it)")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=5, frameon=False, fontsize="small")  # fmt: skip
    return figure


def _draw_panel(axes, rows: pa.Table, accelerators: tuple[str, ...]) -> None:
    colours = {"all": "#000000", **_COLOURS}
    labels = {"all": "all together", **SOURCES}
    for k, (source, colour) in enumerate(colours.items()):
        part = where(rows, source=source)
        places = np.arange(len(accelerators)) + 0.16 * (k - 2)
        low, high = (_PERCENT * part[name].to_numpy() for name in ("low", "high"))
        axes.hlines(places, low, high, color=colour, linewidth=4, label=labels[source])
    axes.axvline(_PERCENT, color="#999999", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(accelerators)), accelerators)


if __name__ == "__main__":
    main()
