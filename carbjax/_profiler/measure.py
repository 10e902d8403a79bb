"""One point of a plan, measured: latency, power, and the state of the GPU meanwhile."""

import dataclasses as dc
import math
import time

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from carbjax._profiler.gpu import Reading
from carbjax._profiler.loop import Program, Window, run_half_duty, run_window
from carbjax._profiler.meter import Meter
from carbjax._profiler.point import Point
from carbjax._profiler.protocol import Protocol
from carbjax._profiler.slope import Slope, power_from_counter

_UNKNOWN = Slope(math.nan, math.nan, 0)


@dc.dataclass(frozen=True)
class Measurement:
    """What was seen at a point; NaN where nobody metered."""

    point: Point
    latency_s: float  # of one call; of the whole window where nothing ran
    slope: Slope = _UNKNOWN
    instant_power_w: float = math.nan
    memory_power_w: float = math.nan
    sm_clock_hz: float = math.nan
    temperature_c: float = math.nan
    was_hot: bool = False
    num_rejected: int = 0  # windows before this one
    implementation: str = "xla"  # of attention

    def is_good(self, protocol: Protocol) -> bool:
        """Neither slowed down by heat, nor of uncertain power."""
        return not self.was_hot and self.slope.relative_error <= protocol.max_slope_error


def measure(
    point: Point,
    program: Program | None,
    meter: Meter | None,
    protocol: Protocol,
    *,
    implementation: str = "xla",
    key: PRNGKeyArray,
) -> Measurement:
    """The first good window, or the last of `max_repeats` more where none is good."""
    for num_rejected in range(protocol.max_repeats + 1):
        time.sleep(protocol.gap)
        window = _window(point, program, protocol, key=key)
        if meter is None:
            return Measurement(point, window.latency_s, implementation=implementation)
        readings = meter.between(window.start, window.end)
        found = dc.replace(
            _judged(point, window, readings),
            num_rejected=num_rejected,
            implementation=implementation,
        )
        if found.is_good(protocol):
            return found
    # The last window counts as rejected too: it is kept, with the weight it deserves.
    return dc.replace(found, num_rejected=protocol.max_repeats + 1)


def _window(
    point: Point, program: Program | None, protocol: Protocol, *, key: PRNGKeyArray
) -> Window:
    if program is None:
        time.sleep(protocol.warm_up)
        start = time.monotonic()
        time.sleep(max(protocol.idle - protocol.warm_up, 0.0))
        end = time.monotonic()
        return Window(start, end, end - start)
    run = run_half_duty if point.kind == "gemm_half_duty" else run_window
    return run(program, protocol, key=key)


def _judged(point: Point, window: Window, readings: list[Reading]) -> Measurement:
    if not readings:
        return Measurement(point, window.latency_s)
    columns = {
        name: np.array([getattr(reading, name) for reading in readings])
        for name in ("time_s", "energy_j", "sm_clock_hz", "temperature_c")
    }
    return Measurement(
        point,
        window.latency_s,
        power_from_counter(columns["time_s"], columns["energy_j"]),
        instant_power_w=float(np.mean([r.power_w for r in readings])),
        memory_power_w=float(np.mean([r.memory_power_w for r in readings])),
        sm_clock_hz=float(np.mean(columns["sm_clock_hz"])),
        temperature_c=float(np.mean(columns["temperature_c"])),
        was_hot=any(reading.is_hot for reading in readings),
    )


def keys_of(points: tuple[Point, ...], seed: int) -> list[PRNGKeyArray]:
    """A key for the data of each point."""
    return list(jax.random.split(jax.random.key(seed), max(len(points), 1)))
