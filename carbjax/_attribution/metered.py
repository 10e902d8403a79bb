"""A recorded schedule whose energy is what a meter says."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from carbjax._attribution.recorded_prices import price_iterations, waiting_power
from carbjax._attribution.recorded_schedule import RecordedSchedule
from carbjax._errors import TraceError
from carbjax._serving.system import System
from carbjax._traces.meter import MeterReadings

_SPAN = (0.05, 0.5, 0.95)
_ROUNDING_S = 1e-6  # of Unix seconds, and of logs
_NOISE = 1.05  # above the limit of power that a meter may read
_WHOLE = 1e-9  # of an iteration: less than this left out is rounding


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
    overlaps = _overlaps(schedule, edges_s)
    intervals = _Intervals(
        meter=meter,
        edges_s=edges_s,
        idle_w=float(system.accelerator.idle_power * system.tensor_parallel),
        busy_s=overlaps.by_interval(schedule.duration_s, len(meter.energy_j)),
        modelled_j=overlaps.by_interval(modelled_j, len(meter.energy_j)),
    )
    _require_possible(intervals, system)
    _require_positive(intervals)
    _require_some(intervals)
    energy_j, num_partly = _energy(schedule, modelled_j, overlaps, intervals.factors)
    return MeteredSchedule(
        schedule=schedule.with_energy(energy_j),
        factor=intervals.factor,
        factors=intervals.factors,
        measured_j=float(np.nansum(meter.energy_j)),
        beyond_idle_j=float(np.nansum(intervals.rest_j[~intervals.used])),
        notes=(*meter.notes, *_notes(intervals, num_partly), *_idle_notes(intervals)),
    )


class _Overlaps(NamedTuple):
    """Pairs of an iteration and an interval that meet, `" pairs"`."""

    iteration: Int[np.ndarray, " pairs"]
    interval: Int[np.ndarray, " pairs"]
    share: Float[np.ndarray, " pairs"]  # of the iteration, by time

    def by_interval(
        self, values: Float[np.ndarray, " iterations"], number: int
    ) -> Float[np.ndarray, " intervals"]:
        """What the iterations have, by interval: each its share of it."""
        return np.bincount(self.interval, self.share * values[self.iteration], number)


@dataclasses.dataclass(frozen=True)
class _Intervals:
    """What the meter counts between readings, and what iterations do meanwhile."""

    meter: MeterReadings
    edges_s: Float[np.ndarray, " readings"]  # on the schedule's clock
    idle_w: float  # of all GPUs
    busy_s: Float[np.ndarray, " intervals"]
    modelled_j: Float[np.ndarray, " intervals"]  # of the iterations

    @property
    def length_s(self) -> Float[np.ndarray, " intervals"]:
        return np.diff(self.edges_s)

    @property
    def used(self) -> Bool[np.ndarray, " intervals"]:
        """Whether an iteration ran."""
        return self.busy_s > 0

    @property
    def rest_j(self) -> Float[np.ndarray, " intervals"]:
        """What is left to the iterations: idle power is drawn between them."""
        return self.meter.energy_j - self.idle_w * (self.length_s - self.busy_s)

    @property
    def factors(self) -> Float[np.ndarray, " intervals"]:
        """Measured over modelled energy of the iterations, NaN where unknown."""
        modelled_j = np.where(self.used, self.modelled_j, 1.0)
        return np.where(self.used, self.rest_j / modelled_j, np.nan)

    @property
    def factor(self) -> float:
        """Measured over modelled energy, of all intervals where it is known."""
        known = np.isfinite(self.factors)
        return float(self.rest_j[known].sum() / self.modelled_j[known].sum())


def _edges(
    schedule: RecordedSchedule, meter: MeterReadings, offset: float | None
) -> Float[np.ndarray, " readings"]:
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


def _overlaps(schedule: RecordedSchedule, edges_s: np.ndarray) -> _Overlaps:
    """Which iterations and intervals meet.

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
    share = (high - low) / schedule.duration_s[iteration]
    return _Overlaps(iteration, interval, share)


def _require_possible(intervals: _Intervals, system: System) -> None:
    """Raises `TraceError` where the meter counts more than the GPUs can draw."""
    most_w = float(system.accelerator.max_power * system.tensor_parallel)
    power_w = intervals.meter.energy_j / intervals.length_s
    for k in np.flatnonzero(power_w > most_w * _NOISE)[:1]:
        raise TraceError(
            f"between readings {k + 1} and {k + 2} the meter counts {power_w[k]:.4g} W, "
            f"and the GPUs draw {most_w:g} W at most.",
            file=intervals.meter.file,
            hint="Is it millijoules taken for joules, or other GPUs than the system's?",
        )


def _require_positive(intervals: _Intervals) -> None:
    """Raises `TraceError` where the meter leaves nothing to the iterations."""
    meter = intervals.meter
    for k in np.flatnonzero(intervals.used & (intervals.rest_j <= 0))[:1]:
        raise TraceError(
            f"between readings {k + 1} and {k + 2} the meter counts {meter.energy_j[k]:g} "
            f"J in {intervals.length_s[k]:g} s, less than an idle machine of "
            f"{intervals.idle_w:g} W draws between the iterations.",
            file=meter.file,
            hint="Does it read all GPUs? Measure the idle power with `carbjax profile`.",
        )


def _require_some(intervals: _Intervals) -> None:
    """Raises `TraceError` where no interval's factor is known."""
    if not np.isfinite(intervals.factors).any():
        raise TraceError(
            "the meter knows no interval in which an iteration ran.",
            file=intervals.meter.file,
            hint="Is it of the same time, and on the same clock?",
        )


def _energy(
    schedule: RecordedSchedule,
    modelled_j: Float[np.ndarray, " iterations"],
    overlaps: _Overlaps,
    factors: Float[np.ndarray, " intervals"],
) -> tuple[Float[np.ndarray, " iterations"], int]:
    """J by iteration, and how many are measured in part."""
    number = schedule.num_iterations
    factor = factors[overlaps.interval]
    known = np.isfinite(factor)
    iteration, share = overlaps.iteration[known], overlaps.share[known]
    measured = np.bincount(iteration, share * modelled_j[iteration] * factor[known], number)
    part = np.bincount(iteration, share, number)
    before = np.where(np.isnan(schedule.energy_j), modelled_j, schedule.energy_j)
    left = np.clip(1.0 - part, 0.0, 1.0)
    left[left < _WHOLE] = 0.0
    energy_j = np.where(part > 0, measured + left * before, schedule.energy_j)
    return energy_j, int(((part > 0) & (left > 0)).sum())


def _notes(intervals: _Intervals, num_partly: int) -> tuple[str, ...]:
    """How far the model was off, and where it still counts."""
    low, middle, high = np.nanquantile(intervals.factors, _SPAN)
    notes = [
        f"Calibration factor: the meter counts {intervals.factor:.4g} times the modelled "
        f"energy of iterations (median {middle:.3g}, 5% to 95% of intervals {low:.3g} to "
        f"{high:.3g})."
    ]
    num_unknown = int((intervals.used & np.isnan(intervals.meter.energy_j)).sum())
    if num_unknown:
        notes.append(
            f"{num_unknown} intervals with iterations are unknown: energy is modelled "
            "there."
        )
    if num_partly:
        notes.append(
            f"{num_partly} iterations are measured in part, and modelled for the rest."
        )
    return tuple(notes)


def _idle_notes(intervals: _Intervals) -> tuple[str, ...]:
    """What the meter counts without iterations, where it does."""
    energy_j = intervals.meter.energy_j
    idle = ~intervals.used & np.isfinite(energy_j)
    if not idle.any():
        return ()
    found_w = float(energy_j[idle].sum() / intervals.length_s[idle].sum())
    return (
        f"Without iterations the meter counts {found_w:.4g} W, and the system's idle power "
        f"is {intervals.idle_w:.4g} W.",
    )
