"""How much of serving is operational carbon, how much embodied: by GPU, grid and load.

    python -m experiments.operational_embodied [CONFIG] [--set KEY=VALUE] [--out FOLDER]

The first 512 requests of the Azure conversation trace on one GPU (Llama-3.1-8B), always
on, at the recorded pace, ten times slower and four times faster, with the mean
intensities of five grids (of hours of 2022 and 2023). `embodied` is the GPU
and its share of the server over the run's window; its range has the published GPU
figures and lifetimes of 3 to 6 years.

Prints a table, writes `operational_embodied.csv`, `.png` and `.svg`.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

import carbjax as cj
from experiments.workbench.cuts import compress
from experiments.workbench.drawing import BLUE, GREEN, GREY, ORANGE, new_figure, tidy
from experiments.workbench.inputs import CONVERSATIONS, conversations
from experiments.workbench.settings import begin
from experiments.workbench.tables import console, to_table, write

NAME = "operational_embodied"
_MILLI = 1e3
_PERCENT = 100.0
_DECIMALS = 6
_COLOURS = (GREY, ORANGE, BLUE, GREEN)


class Settings(NamedTuple):
    """Which GPUs serve how fast on which grids, as the configuration says."""

    model: str
    num_requests: int
    accelerators: tuple[str, ...]
    longest_life: float
    shortest_life: float
    loads: dict[str, float]
    grids: dict[str, float]
    embodied_kg: dict[str, list[float]]


class Footprint(NamedTuple):
    """One GPU on one grid at one load; a row of the CSV. mgCO2e a request, and parts."""

    accelerator: str
    grid: str
    intensity: float  # gCO2e/kWh
    load: str
    busy: float  # part of the time in which an iteration runs
    serving_mg: float  # of iterations, above idle
    idle_mg: float  # idle and host power
    embodied_mg: float
    embodied_part: float
    embodied_part_low: float
    embodied_part_high: float


def main() -> None:
    settings, out = begin(__doc__, NAME, Settings, [CONVERSATIONS])
    workload = conversations().select(slice(0, settings.num_requests))
    rows = measure(workload, settings)
    print_table(rows, settings)
    write(NAME, {NAME: to_table(rows)}, draw(rows, settings), out)


def measure(workload: cj.Workload, settings: Settings) -> list[Footprint]:
    """A row for each GPU, grid and load."""
    rows = []
    for gpu in settings.accelerators:
        system = cj.System.load(gpu, settings.model)
        parts = embodied_range(system.accelerator, settings)
        for load, factor in settings.loads.items():
            requests = compress(workload, factor)
            for grid, intensity in settings.grids.items():
                on_grid = dataclasses.replace(
                    system, carbon_intensity=cj.Intensity.constant(intensity)
                )
                found = footprint(requests, on_grid, parts)
                rows.append(Footprint(gpu, grid, intensity, load, *found))
    return rows


def footprint(
    workload: cj.Workload, system: cj.System, parts: tuple[float, float]
) -> tuple[float, ...]:
    """The numbers of `Footprint`, from `busy` on; `parts` as of `embodied_range`."""
    timeline = cj.serve(workload, system)
    emissions = timeline.emissions
    milligrams = _MILLI / workload.num_requests
    serving = milligrams * float(emissions.prefill + emissions.decode)
    idle, embodied = (
        milligrams * float(emissions.idle),
        milligrams * float(emissions.embodied),
    )
    operational = serving + idle
    low, high = (embodied * part for part in parts)
    busy = timeline.busy_s / (timeline.end_s - timeline.start_s)
    numbers = (
        busy,
        serving,
        idle,
        embodied,
        *(part / (part + operational) for part in (embodied, low, high)),
    )
    return tuple(round(number, _DECIMALS) for number in numbers)


def embodied_range(gpu: cj.Accelerator, settings: Settings) -> tuple[float, float]:
    """Least and most embodied carbon an hour, relative to the shipped figure."""
    server = gpu.server_embodied_carbon_kg / gpu.gpus_per_server
    shipped = (gpu.embodied_carbon_kg + server) / gpu.lifetime_years
    least, most = settings.embodied_kg[gpu.name]
    return (
        (least + server) / settings.longest_life / shipped,
        (most + server) / settings.shortest_life / shipped,
    )


def print_table(rows: list[Footprint], settings: Settings) -> None:
    table = Table(
        title="Carbon of a request (mgCO2e), and the embodied part of it",
        title_justify="left",
    )
    for heading in ("GPU", "load", "grid"):
        table.add_column(heading)
    for heading in ("busy", "serving", "idle", "embodied", "embodied part", "range"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.accelerator,
            row.load,
            row.grid,
            f"{row.busy:.0%}",
            *(f"{x:.2f}" for x in (row.serving_mg, row.idle_mg, row.embodied_mg)),
            f"{row.embodied_part:.0%}",
            f"{row.embodied_part_low:.0%} to {row.embodied_part_high:.0%}",
            end_section=row.grid == list(settings.grids)[-1],
        )
    console().print(table)


def draw(rows: list[Footprint], settings: Settings) -> Figure:
    """The embodied part against the grid's intensity, a panel a load."""
    figure, (panels,) = new_figure(9.0, 3.8, columns=len(settings.loads), sharey=True)
    for axes, load in zip(panels, settings.loads, strict=True):
        for gpu, colour in zip(settings.accelerators, _COLOURS, strict=False):
            mine = [row for row in rows if (row.accelerator, row.load) == (gpu, load)]
            intensity = [row.intensity for row in mine]
            low, middle, high = (
                _PERCENT * np.array([getattr(row, name) for row in mine])
                for name in ("embodied_part_low", "embodied_part", "embodied_part_high")
            )
            axes.fill_between(intensity, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(intensity, middle, "o-", color=colour, markersize=4, label=gpu)
        axes.set_xscale("log")
        axes.minorticks_off()
        names = [f"{name}\n{value:g}" for name, value in settings.grids.items()]
        axes.set_xticks(list(settings.grids.values()), names, fontsize="small")
        axes.set_ylim(0, _PERCENT)
        tidy(axes, f"load {load}")
    panels[1].set_xlabel("grid, mean intensity (gCO$_2$e/kWh)")
    panels[0].set_ylabel("embodied part of all carbon (%)")
    panels[0].legend(frameon=False)
    return figure


if __name__ == "__main__":
    main()
