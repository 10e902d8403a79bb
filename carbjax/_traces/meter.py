"""Readings of GPU energy counters: NVML, DCGM, Triton's `nv_energy_consumption`."""

import dataclasses
import os
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from carbjax._errors import TraceError
from carbjax._traces.format import LATEST_RELATIVE_S
from carbjax._traces.source import open_source
from carbjax._traces.stamps import NANOSECONDS_PER_SECOND, instants, time_zone
from carbjax._traces.table import Table, read_table
from carbjax._traces.values import labels, matches, numbers, numbers_or_nan, present

_JOULES = {
    "energy_j": 1.0,
    "energy_mj": 1e-3,  # NVML: nvmlDeviceGetTotalEnergyConsumption
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 1e-3,
    "nv_energy_consumption": 1.0,
}
_TIME, _GPU = "time", "gpu"


@dataclasses.dataclass(frozen=True)
class MeterReadings:
    """What all GPUs together used between readings; NaN where a counter was reset.

    `time_s` counts Unix seconds where `is_unix`, else seconds of another clock.
    """

    time_s: Float[np.ndarray, " readings"]
    energy_j: Float[np.ndarray, " intervals"]  # one fewer than readings
    is_unix: bool
    file: str
    notes: tuple[str, ...] = ()


def read_meter(path: str | os.PathLike[str], tz: str | None = None) -> MeterReadings:
    """The energy between the readings of cumulative counters, summed over GPUs.

    CSV, JSON lines or Parquet with the columns `time` (ISO 8601, or seconds of a clock),
    one of `energy_j`, `energy_mj` (NVML's counter), `DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION`
    (mJ), `nv_energy_consumption` (J), and `gpu` where there are several.

    A reading that lacks a GPU is passed over, so that its two intervals become one. An
    interval in which a counter falls is unknown. Both are noted. Raises `TraceError`.
    """
    zone = time_zone(tz, TraceError)
    table = read_table(open_source(path, TraceError))
    column = _energy_column(table)
    table.require((_TIME, column), (_GPU,))
    if table.num_rows == 0:
        raise table.fail("the meter has no readings.", hint="Give at least two.")
    time_s, is_unix = _times(table, zone)
    gpu = labels(table, _GPU) if _GPU in table.columns else ["0"] * table.num_rows
    energy_j = numbers_or_nan(table, column) * _JOULES[column]
    table.refuse(
        energy_j < 0,
        column,
        lambda index: f"{table.shown(column, index)} is negative.",
        "Counters count up from 0.",
    )
    return _intervals(table, time_s, is_unix, gpu, energy_j)


def _energy_column(table: Table) -> str:
    found = [name for name in _JOULES if name in table.columns]
    if len(found) != 1:
        raise table.fail(
            f"{len(found)} of its columns are known counters of energy.",
            hint=f"Give one of {', '.join(_JOULES)}.",
        )
    return found[0]


def _times(table: Table, zone: ZoneInfo | None) -> tuple[np.ndarray, bool]:
    values = present(table, _TIME)
    if pa.types.is_string(values.type) and matches(values.slice(0, 1), r"^\d{4}-\d")[0]:
        return instants(table, _TIME, zone) / NANOSECONDS_PER_SECOND, True
    if pa.types.is_timestamp(values.type):
        return instants(table, _TIME, zone) / NANOSECONDS_PER_SECOND, True
    seconds = numbers(table, _TIME)
    is_unix = seconds > LATEST_RELATIVE_S
    table.refuse(
        is_unix != is_unix[0],
        _TIME,
        lambda index: (
            f"{table.shown(_TIME, index)} is of another clock than those before it: Unix "
            "and monotonic seconds are mixed."
        ),
        "Take all times of one clock.",
    )
    return seconds, bool(is_unix[0])


def _intervals(
    table: Table, time_s: np.ndarray, is_unix: bool, gpu: list[str], energy_j: np.ndarray
) -> MeterReadings:
    names = {name: i for i, name in enumerate(dict.fromkeys(gpu))}
    which = np.array([names[name] for name in gpu])
    times, at = np.unique(time_s, return_inverse=True)
    seen = np.zeros((len(times), len(names)), np.int64)
    np.add.at(seen, (at, which), 1)
    again = seen[at, which] > 1
    table.refuse(
        again,
        _TIME,
        lambda i: f"GPU {gpu[i]!r} has two readings at {table.shown(_TIME, i)}.",
        "Name the GPUs in a column `gpu`.",
    )
    counters = np.full(seen.shape, np.nan)
    counters[at, which] = energy_j
    whole = ~np.isnan(counters).any(axis=1)
    if whole.sum() < 2:
        raise table.fail(
            "fewer than two readings have every GPU.", hint="Read all GPUs at once."
        )
    used = np.diff(counters[whole], axis=0)
    reset = (used < 0).any(axis=1)
    notes = [
        f"{count} {what}"
        for count, what in (
            (int((~whole).sum()), "readings lack a GPU or a value and are passed over."),
            (int(reset.sum()), "intervals are unknown: a counter was reset."),
        )
        if count
    ]
    energy = np.where(reset, np.nan, used.sum(axis=1))
    return MeterReadings(times[whole], energy, is_unix, table.file, tuple(notes))
