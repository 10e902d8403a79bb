"""The same request at every hour of a real Californian day, accounted in one go.

    python -m experiments.time_of_day [CONFIG] [--set KEY=VALUE] [--out FOLDER]

Every hour of the day eight requests arrive together: one with a prompt of 1000 and an
answer of 300 tokens, and the first seven of the Azure conversation trace, the same each
hour. An H200 (Llama-3.1-8B) serves them, paid for while it works (`on_demand`), on the
grid of California (Electricity Maps, life cycle, 2023). Methods attribute the day as a
whole; the truth is the exact Shapley value of each hour by itself, since hours that never
meet are separate games and Shapley values add up.

The second panel is the year: on how many of its days noon is how much cleaner than 8 pm.

Prints a table, writes `time_of_day.csv` (the day), `time_of_day_year.csv`, `.png`, `.svg`.
"""

import dataclasses
import datetime as dt
import pathlib
import zoneinfo
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

import carbjax as cj
from experiments.workbench.drawing import BLACK, PALETTE, SKY, new_figure, tidy
from experiments.workbench.inputs import CONVERSATIONS, conversations, data_path
from experiments.workbench.settings import begin
from experiments.workbench.tables import console, to_table, write

NAME = "time_of_day"
GRID = pathlib.Path("grid", "electricitymaps", "US-CAL-CISO_2023_hourly.csv.gz")
HOURS = 24
TRUTH = "shapley by the hour"
SECONDS_PER_HOUR = 3600.0
_DECIMALS = 8
_MILLI = 1e3


class Settings(NamedTuple):
    """Which request on which days, as the configuration says."""

    accelerator: str
    model: str
    place: str
    date: dt.date
    first_day: dt.date
    days: int
    noon: int
    evening: int
    prompt: int
    answer: int
    num_others: int
    methods: tuple[str, ...]


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
    settings, out = begin(__doc__, NAME, Settings, [CONVERSATIONS, GRID])
    grid = cj.read_intensity(data_path(GRID))
    crowd = conversations().select(slice(0, settings.num_others))
    hours = measure_day(crowd, grid, settings)
    days = measure_year(crowd, grid, settings)
    print_table(hours, days, settings)
    tables = {NAME: to_table(hours), f"{NAME}_year": to_table(days)}
    write(NAME, tables, draw(hours, days, settings), out)


def load_system(settings: Settings) -> cj.System:
    return cj.System.load(settings.accelerator, settings.model, provisioning="on_demand")


def midnight(date: dt.date, settings: Settings) -> dt.datetime:
    return dt.datetime.combine(date, dt.time(), zoneinfo.ZoneInfo(settings.place))


def on_day(
    system: cj.System, grid: cj.Intensity, date: dt.date, settings: Settings
) -> cj.System:
    """The system on the day's grid alone: a short series is quick to search."""
    zero = midnight(date, settings)
    start, end = (zero + dt.timedelta(hours=h) for h in (-1, HOURS + 2))
    return dataclasses.replace(system, carbon_intensity=grid.window(start, end))


def day_of(crowd: cj.Workload, date: dt.date, settings: Settings) -> cj.Workload:
    """The request and the crowd at every local hour; it is the first of each hour."""
    return cj.Workload(
        np.repeat(SECONDS_PER_HOUR * np.arange(HOURS), crowd.num_requests + 1),
        np.tile([settings.prompt, *crowd.num_prefill_tokens], HOURS),
        np.tile([settings.answer, *crowd.num_decode_tokens], HOURS),
        epoch=midnight(date, settings),
    )


def measure_day(crowd: cj.Workload, grid: cj.Intensity, settings: Settings) -> list[Hour]:
    """A row for each method and hour."""
    date = settings.date
    workload = day_of(crowd, date, settings)
    system = on_day(load_system(settings), grid, date, settings)
    probes = np.arange(HOURS) * (crowd.num_requests + 1)
    shares = {
        name: cj.attribute(workload, system, name).shares[probes]
        for name in settings.methods
    }
    hours = [workload.select(hour_of(workload) == hour) for hour in range(HOURS)]
    exact = [cj.attribute(each, system, "shapley").shares[0] for each in hours]
    zero = midnight(date, settings)
    return [
        Hour(
            date.isoformat(),
            hour,
            _intensity_at(grid, zero + dt.timedelta(hours=hour)),
            name,
            round(float(share), _DECIMALS),
        )
        for name, mine in {**shares, TRUTH: exact}.items()
        for hour, share in enumerate(mine)
    ]


def hour_of(workload: cj.Workload) -> np.ndarray:
    return workload.arrival_s // SECONDS_PER_HOUR


def measure_year(crowd: cj.Workload, grid: cj.Intensity, settings: Settings) -> list[Day]:
    """What streaming charges the request at noon and at 8 pm, day by day."""
    system, days = load_system(settings), []
    for number in range(settings.days):
        date = settings.first_day + dt.timedelta(days=number)
        workload = day_of(crowd, date, settings)
        both = np.isin(hour_of(workload), (settings.noon, settings.evening))
        of_day = on_day(system, grid, date, settings)
        shares = cj.attribute(workload.select(both), of_day, "streaming").shares
        mine = shares[:: crowd.num_requests + 1]
        noon, evening = (round(float(share), _DECIMALS) for share in mine)
        days.append(Day(date.isoformat(), noon, evening))
    return days


def _intensity_at(grid: cj.Intensity, instant: dt.datetime) -> float:
    place = np.searchsorted(grid.edges_s, instant.timestamp(), side="right") - 1
    return float(grid.values[place])


def ratios(days: list[Day]) -> np.ndarray:
    """8 pm over noon, by day."""
    return np.array([day.evening_g / day.noon_g for day in days])


def of_method(hours: list[Hour], name: str) -> list[float]:
    """mgCO2e by hour."""
    return [_MILLI * row.share_g for row in hours if row.method == name]


def print_table(hours: list[Hour], days: list[Day], settings: Settings) -> None:
    tokens = f"{settings.prompt} + {settings.answer} tokens"
    table = Table(
        title=f"A request of {tokens} on {hours[0].date} (mgCO2e)", title_justify="left"
    )
    for heading in ("method", "noon", "8 pm", "8 pm / noon"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name in (TRUTH, *settings.methods):
        mine = of_method(hours, name)
        noon, evening = mine[settings.noon], mine[settings.evening]
        table.add_row(name, f"{noon:.3f}", f"{evening:.3f}", f"{evening / noon:.2f}")
    console().print(table)
    low, middle, high = np.quantile(ratios(days), (0.1, 0.5, 0.9))
    cleaner = np.mean(ratios(days) > 1)
    console().print(
        f"{len(days)} days: 8 pm costs {middle:.2f} times noon (10th to 90th percentile "
        f"{low:.2f} to {high:.2f}); noon is cleaner on {cleaner:.0%} of days"
    )


def draw(hours: list[Hour], days: list[Day], settings: Settings) -> Figure:
    """The day by method; the year's ratios."""
    figure, ((day, year),) = new_figure(9.0, 4.2, columns=2, width_ratios=(1.7, 1))
    widths = (4.5, 2.2)  # methods that agree lie over each other
    for k, (name, colour) in enumerate(zip(settings.methods, PALETTE, strict=False)):
        width = widths[min(k, 1)]
        day.plot(of_method(hours, name), color=colour, label=name, linewidth=width)
    day.plot(of_method(hours, TRUTH), ":", color=BLACK, label=TRUTH, linewidth=1.6)
    for hour, label in ((settings.noon, "noon"), (settings.evening, "8 pm")):
        day.axvline(hour, color="#999999", linewidth=0.8, zorder=1)
        day.annotate(label, (hour, 0), (3, 3), textcoords="offset points", color="#555555")
    day.set_ylim(bottom=0)
    day.set_xlabel(f"hour of {hours[0].date}, California")
    day.set_ylabel("share of the same request (mgCO$_2$e)")
    figure.legend(*day.get_legend_handles_labels(), loc="outside lower left", ncols=6,
                  frameon=False, fontsize="small")  # fmt: skip
    year.hist(ratios(days), bins=24, color=SKY)
    year.axvline(1.0, color=BLACK, linewidth=0.8)
    year.set_xlabel("8 pm / noon, by streaming")
    year.set_ylabel(f"days of 2023 ({len(days)})")
    for axes in (day, year):
        tidy(axes)
    return figure


if __name__ == "__main__":
    main()
