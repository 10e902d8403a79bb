"""A recorded schedule whose energy is what a meter says."""

import copy
import dataclasses

import numpy as np
from jaxtyping import Float

from carbjax._attribution.recorded_prices import price_iterations, waiting_power
from carbjax._attribution.recorded_schedule import RecordedSchedule
from carbjax._errors import TraceError
from carbjax._serving.system import System
from carbjax._traces.meter import MeterReadings

_SPAN = (0.05, 0.5, 0.95)
_ROUNDING_S = 1e-6  # of Unix seconds, and of logs
_NOISE = 1.05  # above the limit of power that a meter may read


@dataclasses.dataclass(frozen=True)
class MeteredSchedule:
    """A schedule with measured energy, and by how much the model was off.

    `factor` is measured energy over modelled energy of the iterations while the meter
    is known, NaN where it never is; `factors` is that of each interval.
    """

    schedule: RecordedSchedule
    factor: float
    factors: Float[np.ndarray, " intervals"]
    measured_j: float  # of the meter, where it is known
    beyond_idle_j: float  # of that, above the idle power in intervals without iterations
    notes: tuple[str, ...]


def meter_schedule(
    schedule: RecordedSchedule,
    system: System,
    meter: MeterReadings,
    *,
    unix_minus_clock_s: float | None = None,
) -> MeteredSchedule:
    """The schedule with the energy of a meter; the model only divides it.

    Within an interval the machine draws its idle power between iterations, as the ledger
    accounts it, and iterations draw the rest in proportion to what the model says of
    them. So the GPUs' electricity of a ledger over the meter's time, `always_on`, is what
    the meter counted, but for `beyond_idle_j`: what an interval without iterations used
    other than idle power, which no iteration can be charged with. An iteration that
    crosses readings has a part of each interval, by time. Where the meter does not know,
    energy stays what it was: logged or modelled.

    - `unix_minus_clock_s`: needed where one of schedule and meter is in calendar time
      and the other is not: Unix time less the other's clock.

    Raises `TraceError` where clocks cannot be told, the meter covers no iteration, counts
    less than an idle machine, or more than its GPUs can draw.
    """
    edges_s = _edges(schedule, meter, unix_minus_clock_s)
    modelled_j = _modelled(schedule, system)
    iteration, interval, share = _overlaps(schedule, edges_s)
    number = len(meter.energy_j)
    busy_s = np.bincount(interval, share * schedule.duration_s[iteration], number)
    model_j = np.bincount(interval, share * modelled_j[iteration], number)
    idle_w = float(system.accelerator.idle_power * system.tensor_parallel)
    length_s = np.diff(edges_s)
    _require_possible(meter, system, length_s)
    rest_j = meter.energy_j - idle_w * (length_s - busy_s)
    used = busy_s > 0
    _require_positive(meter, rest_j, used, edges_s, idle_w)
    factors = np.where(used, rest_j / np.where(used, model_j, 1.0), np.nan)
    _require_some(meter, factors)
    energy_j, partly = _energy(schedule, modelled_j, iteration, interval, share, factors)
    metered = copy.copy(schedule)
    metered.energy_j = energy_j
    known = np.isfinite(factors)
    factor = float(rest_j[known].sum() / model_j[known].sum())
    notes = (
        *meter.notes,
        *_notes(meter, factor, factors, partly, used),
        *_idle_notes(meter, length_s, used, idle_w),
    )
    beyond_idle_j = float(np.nansum(rest_j[~used]))
    return MeteredSchedule(
        metered, factor, factors, float(np.nansum(meter.energy_j)), beyond_idle_j, notes
    )


def _require_some(meter: MeterReadings, factors: np.ndarray) -> None:
    """Raises `TraceError` where no interval's factor is known."""
    if not np.isfinite(factors).any():
        raise TraceError(
            "the meter knows no interval in which an iteration ran.",
            file=meter.file,
            hint="Is it of the same time, and on the same clock?",
        )


def _edges(schedule, meter: MeterReadings, offset: float | None) -> np.ndarray:
    """Times of the readings in the schedule's seconds."""
    epoch = schedule.workload.epoch
    if meter.is_unix and epoch is not None:
        return meter.time_s - epoch.timestamp()
    if not meter.is_unix and epoch is None:
        return meter.time_s
    if offset is None:
        raise TraceError(
            "of the schedule and the meter one is in calendar time and the other is not.",
            file=meter.file,
            hint="Give unix_minus_clock_s=, or take both on one clock.",
        )
    if epoch is None:
        return meter.time_s - offset
    return meter.time_s + offset - epoch.timestamp()


def _modelled(schedule: RecordedSchedule, system: System) -> np.ndarray:
    """J of all GPUs by iteration, as a ledger without measurements has it."""
    priced = price_iterations(schedule, system)
    waiting = waiting_power(system)
    latency_s = np.asarray(priced.latency, np.float64)
    energy_j = np.asarray(priced.energy, np.float64)
    busy = schedule.iterations.num_requests > 0
    latency_s, energy_j = np.where(busy, latency_s, 0.0), np.where(busy, energy_j, 0.0)
    # Quicker than modelled: what is left is in proportion to time, and above zero.
    longer_s = np.maximum(schedule.duration_s - latency_s, 0.0)
    shorter = np.minimum(schedule.duration_s / np.where(busy, latency_s, np.inf), 1.0)
    return energy_j * np.where(busy, shorter, 0.0) + waiting * longer_s


def _overlaps(
    schedule: RecordedSchedule, edges_s: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pair of an iteration and an interval that meet, the part of the iteration.

    An iteration that crosses a reading by a rounding of the clocks does not.
    """
    start_s, end_s = schedule.start_s, schedule.end_s
    first = np.searchsorted(edges_s, start_s + _ROUNDING_S, "right") - 1
    last = np.searchsorted(edges_s, end_s - _ROUNDING_S, "left") - 1
    last = np.maximum(first, last)
    count = last - first + 1
    iteration = np.repeat(np.arange(len(start_s)), count)
    before = np.cumsum(count) - count
    interval = first[iteration] + np.arange(len(iteration)) - before[iteration]
    inside = (interval >= 0) & (interval < len(edges_s) - 1)
    iteration, interval = iteration[inside], interval[inside]
    begins, ends = interval == first[iteration], interval == last[iteration]
    low = np.where(begins, start_s[iteration], edges_s[interval])
    high = np.where(ends, end_s[iteration], edges_s[interval + 1])
    return iteration, interval, (high - low) / schedule.duration_s[iteration]


def _require_possible(meter: MeterReadings, system: System, length_s: np.ndarray) -> None:
    most_w = float(system.accelerator.max_power * system.tensor_parallel)
    power_w = meter.energy_j / length_s
    for k in np.flatnonzero(power_w > most_w * _NOISE)[:1]:
        raise TraceError(
            f"between readings {k + 1} and {k + 2} the meter counts {power_w[k]:.4g} W, "
            f"and the GPUs draw {most_w:g} W at most.",
            file=meter.file,
            hint="Is it millijoules taken for joules, or other GPUs than the system's?",
        )


def _require_positive(meter, rest_j, used, edges_s, idle_w: float) -> None:
    for k in np.flatnonzero(used & (rest_j <= 0))[:1]:
        raise TraceError(
            f"between readings {k + 1} and {k + 2} the meter counts {meter.energy_j[k]:g} "
            f"J in {edges_s[k + 1] - edges_s[k]:g} s, less than an idle machine of "
            f"{idle_w:g} W draws between the iterations.",
            file=meter.file,
            hint="Does it read all GPUs? Measure the idle power with `carbjax profile`.",
        )


def _energy(
    schedule, modelled_j, iteration, interval, share, factors
) -> tuple[np.ndarray, int]:
    """J by iteration, and how many are measured in part."""
    number = schedule.num_iterations
    known = np.isfinite(factors[interval])
    measured = np.bincount(
        iteration[known],
        (share * modelled_j[iteration] * factors[interval])[known],
        number,
    )
    part = np.bincount(iteration[known], share[known], number)
    before = np.where(np.isnan(schedule.energy_j), modelled_j, schedule.energy_j)
    left = np.clip(1.0 - part, 0.0, 1.0)
    left[left < 1e-9] = 0.0
    energy_j = np.where(part > 0, measured + left * before, schedule.energy_j)
    return energy_j, int(((part > 0) & (left > 0)).sum())


def _notes(meter, factor: float, factors, partly: int, used) -> tuple[str, ...]:
    low, middle, high = np.nanquantile(factors, _SPAN)
    unknown = int((used & np.isnan(meter.energy_j)).sum())
    return (
        f"Calibration factor: the meter counts {factor:.4g} times the modelled energy of "
        f"iterations (median {middle:.3g}, 5% to 95% of intervals {low:.3g} to "
        f"{high:.3g}).",
        *(
            f"{count} {what}"
            for count, what in (
                (
                    unknown,
                    "intervals with iterations are unknown: energy is modelled there.",
                ),
                (partly, "iterations are measured in part, and modelled for the rest."),
            )
            if count
        ),
    )


def _idle_notes(meter, length_s, used, idle_w: float) -> tuple[str, ...]:
    idle = ~used & np.isfinite(meter.energy_j)
    if not idle.any():
        return ()
    found_w = float(meter.energy_j[idle].sum() / length_s[idle].sum())
    return (
        f"Without iterations the meter counts {found_w:.4g} W, and the system's idle power "
        f"is {idle_w:.4g} W.",
    )
