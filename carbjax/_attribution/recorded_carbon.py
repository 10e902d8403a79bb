"""Carbon intensity of recorded iterations, and what the machine emits unused."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from carbjax._attribution.recorded_schedule import RecordedSchedule
from carbjax._carbon.emissions import Emissions
from carbjax._errors import WorkloadError
from carbjax._serving.system import System

Window = tuple[float, float]


def window_of(schedule: RecordedSchedule, window_s: Window | None) -> Window:
    """The window that was asked for, or from the first iteration to the last's end."""
    first, last = float(schedule.start_s[0]), float(schedule.end_s[-1])
    start, end = window_s or (first, last)
    if not (start <= first and last <= end):
        raise WorkloadError(
            f"`window_s` runs from {start} s to {end} s, and iterations from {first} s to "
            f"{last} s.",
            hint="Give (start, end) in seconds from the epoch, around all iterations.",
        )
    return start, end


def standing(schedule: RecordedSchedule, system: System, window: Window) -> Emissions:
    """What the machine emits over the window if unused.

    Raises `InputError` where the intensity is a series and the schedule has no epoch, and
    where it does not cover the window.
    """
    start, end = window
    intensity = system.intensity_from(schedule.workload, start, end)
    system.require_cover(schedule.workload, start, end)
    span = jnp.zeros(()), jnp.asarray(end - start, float)
    return system.footprint.standing(*span, intensity)


def mean_intensity(
    schedule: RecordedSchedule, system: System
) -> Float[np.ndarray, " iterations"]:
    """Mean intensity over each iteration, g/kWh, in 64 bits on the host."""
    series, epoch = system.carbon_intensity, schedule.workload.epoch
    if series.is_constant:
        return np.full(schedule.num_iterations, series.values[0])
    assert epoch is not None
    edges_s, values = series.edges_s - epoch.timestamp(), series.values
    start_s, end_s = schedule.start_s, schedule.end_s
    first = np.searchsorted(edges_s, start_s, "right") - 1
    last = np.searchsorted(edges_s, end_s, "left") - 1
    until = np.concatenate([[0.0], np.cumsum(values * np.diff(edges_s))])
    crossing = values[first] * (edges_s[first + 1] - start_s)
    crossing += until[last] - until[first + 1] + values[last] * (end_s - edges_s[last])
    return np.where(first == last, values[first], crossing / (end_s - start_s))
