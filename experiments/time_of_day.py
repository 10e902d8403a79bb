"""The same request at every hour of a real Californian day, accounted in one go.

    python experiments/time_of_day.py [--date YYYY-MM-DD] [--limit DAYS] [--out FOLDER]

Every hour of the day eight requests arrive together: one with a prompt of 1000 and an
answer of 300 tokens, and the first seven of the Azure conversation trace, the same each
hour. An H200 (Llama-3.1-8B) serves them, paid for while it works (`on_demand`), on the
grid of California (Electricity Maps, life cycle, 2023). Methods attribute the day as a
whole; the truth is the exact Shapley value of each hour by itself, since hours that never
meet are separate games and Shapley values add up.

The second panel is the year: on how many of its days noon is how much cleaner than 8 pm.

Prints a table, writes `time_of_day.csv` (the day), `time_of_day_year.csv`, `.png`, `.svg`.
"""

import argparse
import dataclasses
import datetime as dt
import os
import pathlib
import zoneinfo
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
_GRID = pathlib.Path("grid", "electricitymaps", "US-CAL-CISO_2023_hourly.csv.gz")
PLACE = zoneinfo.ZoneInfo("America/Los_Angeles")
DATE = dt.date(2023, 6, 15)
FIRST_DAY = dt.date(2023, 1, 2)  # the file is of UTC hours, and lacks some of 1 January
DAYS = 363
HOURS = 24
NOON, EVENING = 12, 20
PROBE = (1000, 300)  # prompt and answer tokens
NUM_OTHERS = 7
TRUTH = "shapley, hour by hour"
METHODS = ("streaming", "iteration_tokens", "demand", "time", "tokens")
SECONDS_PER_HOUR = 3600.0
_DECIMALS = 8
_MILLI = 1e3
# Okabe and Ito's palette.
_COLOURS = {
    TRUTH: "#000000",
    "streaming": "#0072B2",
    "iteration_tokens": "#56B4E9",
    "demand": "#E69F00",
    "time": "#009E73",
    "tokens": "#CC79A7",
}


class Hour(NamedTuple):
    """What the request pays at one hour by one method; a row of the CSV."""

    date: str
    hour: int  # local
    intensity: float  # gCO2e/kWh
    method: str
    share_g: float


class Day(NamedTuple):
    """What the request emits at noon and at 8 pm of one day; a row of the second CSV."""

    date: str
    noon_g: float
    evening_g: float


def main() -> None:
    parser = argparse.ArgumentParser(description="One request over a day of the grid.")
    parser.add_argument("--date", type=dt.date.fromisoformat, default=DATE)
    parser.add_argument("--limit", type=int, default=DAYS, help="days of the year")
    parser.add_argument("--out", type=pathlib.Path, default=_ROOT / "figures")
    arguments = parser.parse_args()
    if not 1 <= arguments.limit <= DAYS:
        parser.error(f"--limit is {arguments.limit}; give 1 to {DAYS} days.")
    for path in (_TRACE, _GRID):
        if not data(path).is_file():
            parser.error(
                f"there is no file {data(path)}; set CARBJAX_DATA to the folder that "
                f"holds {path}."
            )
    cj.enable_compilation_cache()
    grid = cj.read_intensity(data(_GRID))
    crowd = cj.read_trace(data(_TRACE), tz="UTC").select(slice(0, NUM_OTHERS))
    hours = measure_day(crowd, grid, arguments.date)
    days = measure_year(crowd, grid, arguments.limit)
    print_table(hours, days)
    for written in write(hours, days, arguments.out):
        print(f"wrote {written}")


def data(path: pathlib.Path) -> pathlib.Path:
    """Where a file should lie: in CARBJAX_DATA, else beside the checkout."""
    folder = os.environ.get("CARBJAX_DATA") or _ROOT.parent / "shared" / "data"
    return pathlib.Path(folder) / path


def load_system() -> cj.System:
    return cj.System.load("h200-sxm", "llama-3.1-8b", provisioning="on_demand")


def midnight(date: dt.date) -> dt.datetime:
    return dt.datetime.combine(date, dt.time(), PLACE)


def on_day(system: cj.System, grid: cj.Intensity, date: dt.date) -> cj.System:
    """The system on the day's grid alone: a short series is quick to search."""
    start, end = (midnight(date) + dt.timedelta(hours=h) for h in (-1, HOURS + 2))
    return dataclasses.replace(system, carbon_intensity=grid.window(start, end))


def day_of(crowd: cj.Workload, date: dt.date) -> cj.Workload:
    """The probe and the crowd at every local hour; the probe is the first of each hour."""
    size = NUM_OTHERS + 1
    return cj.Workload(
        np.repeat(SECONDS_PER_HOUR * np.arange(HOURS), size),
        np.tile([PROBE[0], *crowd.num_prefill_tokens], HOURS),
        np.tile([PROBE[1], *crowd.num_decode_tokens], HOURS),
        epoch=midnight(date),
    )


def measure_day(crowd: cj.Workload, grid: cj.Intensity, date: dt.date) -> list[Hour]:
    """A row for each method and hour."""
    workload, system = day_of(crowd, date), on_day(load_system(), grid, date)
    probes = np.arange(HOURS) * (NUM_OTHERS + 1)
    shares = {name: cj.attribute(workload, system, name).shares[probes] for name in METHODS}
    shares[TRUTH] = np.array(
        [
            cj.attribute(
                workload.select(hour_of(workload) == hour), system, "shapley"
            ).shares[0]
            for hour in range(HOURS)
        ]
    )
    assert workload.epoch is not None
    return [
        Hour(
            date.isoformat(),
            hour,
            _intensity_at(grid, workload.epoch + dt.timedelta(hours=hour)),
            name,
            round(float(share), _DECIMALS),
        )
        for name, mine in shares.items()
        for hour, share in enumerate(mine)
    ]


def hour_of(workload: cj.Workload) -> np.ndarray:
    return workload.arrival_s // SECONDS_PER_HOUR


def measure_year(crowd: cj.Workload, grid: cj.Intensity, num_days: int) -> list[Day]:
    """What streaming charges the probe at noon and at 8 pm, day by day."""
    system, days = load_system(), []
    for number in range(num_days):
        date = FIRST_DAY + dt.timedelta(days=number)
        workload = day_of(crowd, date)
        both = np.isin(hour_of(workload), (NOON, EVENING))
        of_day = on_day(system, grid, date)
        shares = cj.attribute(workload.select(both), of_day, "streaming").shares
        noon, evening = (round(float(g), _DECIMALS) for g in shares[:: NUM_OTHERS + 1])
        days.append(Day(date.isoformat(), noon, evening))
    return days


def _intensity_at(grid: cj.Intensity, instant: dt.datetime) -> float:
    place = np.searchsorted(grid.edges_s, instant.timestamp(), side="right") - 1
    return float(grid.values[place])


def ratios(days: list[Day]) -> np.ndarray:
    """8 pm over noon, by day."""
    return np.array([day.evening_g / day.noon_g for day in days])


def print_table(hours: list[Hour], days: list[Day]) -> None:
    table = Table(
        title=f"A request of {PROBE[0]} + {PROBE[1]} tokens on {hours[0].date} (mgCO2e)",
        title_justify="left",
    )
    for heading in ("method", "noon", "8 pm", "8 pm / noon"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name in _COLOURS:
        mine = [_MILLI * row.share_g for row in hours if row.method == name]
        noon, evening = mine[NOON], mine[EVENING]
        cells = (f"{noon:.3f}", f"{evening:.3f}", f"{evening / noon:.2f}")
        table.add_row(name, *cells)
    console = Console(width=110)
    console.print(table)
    low, middle, high = np.quantile(ratios(days), (0.1, 0.5, 0.9))
    cleaner = np.mean(ratios(days) > 1)
    console.print(
        f"{len(days)} days: 8 pm costs {middle:.2f} times noon (10th to 90th percentile "
        f"{low:.2f} to {high:.2f}); noon is cleaner on {cleaner:.0%} of days"
    )


def write(hours: list[Hour], days: list[Day], folder: pathlib.Path) -> list[pathlib.Path]:
    """The paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, rows, fields in (
        ("time_of_day", hours, Hour._fields),
        ("time_of_day_year", days, Day._fields),
    ):
        columns = dict(zip(fields, map(list, zip(*rows, strict=True)), strict=True))
        written.append(folder / f"{name}.csv")
        options = pa_csv.WriteOptions(quoting_style="needed")
        pa_csv.write_csv(pa.table(columns), written[-1], options)
    figure = draw(hours, days)
    images = [written[0].with_suffix(suffix) for suffix in (".png", ".svg")]
    # A figure of the same numbers is the same file.
    with matplotlib.rc_context({"svg.hashsalt": "time_of_day"}):
        figure.savefig(images[0], dpi=150)
        figure.savefig(images[1], metadata={"Date": None})
    return [*written, *images]


def draw(hours: list[Hour], days: list[Day]) -> Figure:
    """The day by method; the year's ratios."""
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    day, year = figure.subplots(1, 2, width_ratios=(1.7, 1))
    for name, colour in _COLOURS.items():
        mine = [_MILLI * row.share_g for row in hours if row.method == name]
        dashed = name == TRUTH
        day.plot(mine, color=colour, label=name, linestyle="--" if dashed else "-",
                 zorder=3 if dashed else 2, linewidth=1.6)  # fmt: skip
    for hour, label in ((NOON, "noon"), (EVENING, "8 pm")):
        day.axvline(hour, color="#999999", linewidth=0.8, zorder=1)
        day.annotate(label, (hour, 0), (3, 3), textcoords="offset points", color="#555555")
    day.set_ylim(bottom=0)
    day.set_xlabel(f"hour of {hours[0].date}, California")
    day.set_ylabel("share of the same request (mgCO$_2$e)")
    day.legend(frameon=False, fontsize="small")
    year.hist(ratios(days), bins=24, color="#56B4E9")
    year.axvline(1.0, color="#000000", linewidth=0.8)
    year.set_xlabel("8 pm / noon, by streaming")
    year.set_ylabel(f"days of 2023 ({len(days)})")
    for axes in (day, year):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
