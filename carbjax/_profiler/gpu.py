"""What the profiler asks of a GPU's meter."""

import abc
import dataclasses as dc
import math


@dc.dataclass(frozen=True)
class Reading:
    """One look at the meter; NaN where the GPU does not tell."""

    time_s: float  # of the host's monotonic clock
    energy_j: float  # since the driver was loaded
    power_w: float = math.nan  # at this instant
    memory_power_w: float = math.nan
    sm_clock_hz: float = math.nan
    temperature_c: float = math.nan
    is_hot: bool = False  # slowed down by heat or by a power brake


class AbstractGpu(abc.ABC):
    """A GPU with an energy counter."""

    name: str
    driver: str
    power_limit_w: float
    free_bytes: int
    total_bytes: int

    @abc.abstractmethod
    def read(self) -> Reading:
        """What the meter shows now."""

    @abc.abstractmethod
    def close(self) -> None:
        """Nothing; the meter is not asked again."""
