"""How long things are measured, and what makes a window good."""

import dataclasses as dc


@dc.dataclass(frozen=True)
class Protocol:
    """Times in s; docs/profiler.md says why these."""

    warm_up: float = 0.6  # clocks and power settle; not in the window
    window: float = 2.0  # some 20 ticks of an energy counter
    gap: float = 0.3  # between points
    idle: float = 5.0
    launch: float = 0.1  # one call of the compiled loop
    sample: float = 0.015  # between readings of the meter
    max_slope_error: float = 0.01  # of the power
    max_repeats: int = 2  # of a window that was rejected
    seed: int = 0
