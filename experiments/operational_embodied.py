"""How much of serving is operational carbon, how much embodied: by GPU, grid and load.

    python experiments/operational_embodied.py [--limit REQUESTS] [--out FOLDER]

The first 512 requests of the Azure conversation trace on one GPU (Llama-3.1-8B), always
on, at the recorded pace, ten times slower and four times faster, with the mean
intensities of five grids (of hours of 2022 and 2023, see GRIDS). `embodied` is the GPU
and its share of the server over the run's window; its range has the published GPU
figures and lifetimes of 3 to 6 years.

Prints a table, writes `operational_embodied.csv`, `.png` and `.svg`.
"""

import argparse
import dataclasses
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
_TRACE = pathlib.Path("azure_llm_2023", "AzureLLMInferenceTrace_conv.csv")
NUM_REQUESTS = 512
# Means of published hourly series, gCO2e/kWh: Electricity Maps life cycle 2023 (NO, ES,
# US-CAL-CISO), and their 2022 series of umassos/decarbonization-potential (DE, PL).
GRIDS = {"NO": 34.0, "ES": 160.0, "CISO": 261.0, "DE": 481.0, "PL": 819.0}
# A bare GPU, kgCO2e: 150 to 181 is published for A100 and 164 to 180 for H100, whose
# range stands in for its successors. Lifetime, years: 6 to 3.
LEAST_AND_MOST = {"a100-sxm": (150.0, 181.0)}
DEFAULT_RANGE = (164.0, 180.0)
LONGEST_LIFE, SHORTEST_LIFE = 6.0, 3.0
GPUS = ("a100-sxm", "h100-sxm", "h200-sxm", "b200-sxm")
LOADS = {"0.1 x": 0.1, "as recorded": 1.0, "4 x": 4.0}
_MILLI = 1e3
_PERCENT = 100.0
_DECIMALS = 6
# Okabe and Ito's palette, one a GPU.
_COLOURS = dict(zip(GPUS, ("#999999", "#E69F00", "#0072B2", "#009E73"), strict=True))


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
    parser = argparse.ArgumentParser(description="Operational against embodied carbon.")
    parser.add_argument("--limit", type=int, default=NUM_REQUESTS, help="requests")
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
    workload = cj.read_trace(path, tz="UTC").select(slice(0, arguments.limit))
    rows = measure(workload)
    print_table(rows)
    for written in write(rows, arguments.out):
        print(f"wrote {written}")


def trace_path() -> pathlib.Path:
    """Where the trace should lie: in CARBJAX_DATA, else beside the checkout."""
    folder = os.environ.get("CARBJAX_DATA") or _ROOT.parent / "shared" / "data"
    return pathlib.Path(folder) / _TRACE


def measure(workload: cj.Workload) -> list[Footprint]:
    """A row for each GPU, grid and load."""
    rows = []
    for gpu in GPUS:
        system = cj.System.load(gpu, "llama-3.1-8b")
        for load, factor in LOADS.items():
            arrivals = (workload.arrival_s - workload.start_s) / factor
            requests = cj.Workload(
                arrivals, workload.num_prefill_tokens, workload.num_decode_tokens
            )
            for grid, intensity in GRIDS.items():
                on_grid = dataclasses.replace(
                    system, carbon_intensity=cj.Intensity.constant(intensity)
                )
                found = footprint(requests, on_grid)
                rows.append(Footprint(gpu, grid, intensity, load, *found))
    return rows


def footprint(workload: cj.Workload, system: cj.System) -> tuple[float, ...]:
    """The numbers of `Footprint`, from `busy` on."""
    timeline = cj.serve(workload, system)
    emissions = timeline.emissions
    milligrams = _MILLI / workload.num_requests
    serving = milligrams * float(emissions.prefill + emissions.decode)
    idle, embodied = (
        milligrams * float(emissions.idle),
        milligrams * float(emissions.embodied),
    )
    operational = serving + idle
    low, high = (embodied * part for part in embodied_range(system.accelerator))
    busy = timeline.busy_s / (timeline.end_s - timeline.start_s)
    numbers = (
        busy,
        serving,
        idle,
        embodied,
        *(part / (part + operational) for part in (embodied, low, high)),
    )
    return tuple(round(number, _DECIMALS) for number in numbers)


def embodied_range(gpu: cj.Accelerator) -> tuple[float, float]:
    """Least and most embodied carbon an hour, relative to the shipped figure."""
    server = gpu.server_embodied_carbon_kg / gpu.gpus_per_server
    shipped = (gpu.embodied_carbon_kg + server) / gpu.lifetime_years
    least, most = LEAST_AND_MOST.get(gpu.name, DEFAULT_RANGE)
    return (
        (least + server) / LONGEST_LIFE / shipped,
        (most + server) / SHORTEST_LIFE / shipped,
    )


def print_table(rows: list[Footprint]) -> None:
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
            end_section=row.grid == list(GRIDS)[-1],
        )
    Console(width=110).print(table)


def write(rows: list[Footprint], folder: pathlib.Path) -> list[pathlib.Path]:
    """The paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    csv = folder / "operational_embodied.csv"
    columns = dict(zip(Footprint._fields, map(list, zip(*rows, strict=True)), strict=True))
    pa_csv.write_csv(pa.table(columns), csv, pa_csv.WriteOptions(quoting_style="none"))
    figure = draw(rows)
    images = [csv.with_suffix(suffix) for suffix in (".png", ".svg")]
    # A figure of the same numbers is the same file.
    with matplotlib.rc_context({"svg.hashsalt": "operational_embodied"}):
        figure.savefig(images[0], dpi=150)
        figure.savefig(images[1], metadata={"Date": None})
    return [csv, *images]


def draw(rows: list[Footprint]) -> Figure:
    """The embodied part against the grid's intensity, a panel a load."""
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(LOADS), sharey=True)
    for axes, load in zip(panels, LOADS, strict=True):
        for gpu, colour in _COLOURS.items():
            mine = [row for row in rows if (row.accelerator, row.load) == (gpu, load)]
            intensity = [row.intensity for row in mine]
            low, middle, high = (
                _PERCENT * np.array([getattr(row, name) for row in mine])
                for name in ("embodied_part_low", "embodied_part", "embodied_part_high")
            )
            axes.fill_between(intensity, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(intensity, middle, "o-", color=colour, markersize=4, label=gpu)
        axes.set_title(f"load {load}", loc="left", fontsize="medium")
        axes.set_xscale("log")
        axes.minorticks_off()
        names = [f"{name}\n{value:g}" for name, value in GRIDS.items()]
        axes.set_xticks(list(GRIDS.values()), names, fontsize="small")
        axes.set_ylim(0, _PERCENT)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[1].set_xlabel("grid, mean intensity (gCO$_2$e/kWh)")
    panels[0].set_ylabel("embodied part of all carbon (%)")
    panels[0].legend(frameon=False)
    return figure


if __name__ == "__main__":
    main()
