"""One GPU and its share of the server around it."""

import equinox as eqx

from carbjax._errors import ConfigError
from carbjax._units import GRAMS_PER_KILOGRAM, SECONDS_PER_YEAR


class Accelerator(eqx.Module):
    """A GPU: powers, memory, peaks, and the carbon of making it.

    Two idle powers: `idle_power` is drawn when nothing has run for seconds,
    `active_idle_power` between the kernels of a busy server.
    """

    name: str = eqx.field(static=True)
    idle_power: float  # W, nothing running for seconds
    active_idle_power: float  # W, between kernels of a busy server
    max_power: float  # W, the power limit
    memory_bytes: float
    memory_bandwidth: float  # bytes/s
    peak_flops: float  # FLOP/s, dense bf16
    embodied_carbon_kg: float  # kgCO2e of making the GPU
    server_embodied_carbon_kg: float  # kgCO2e of the rest of its server
    gpus_per_server: int
    host_power: float  # W, this GPU's share of the rest of the server
    lifetime_years: float

    def __check_init__(self):
        for field in ("max_power", "memory_bytes", "memory_bandwidth", "peak_flops"):
            if getattr(self, field) <= 0:
                raise ConfigError(
                    f"`{field}` of accelerator {self.name!r} is not positive."
                )
        if not 0 <= self.idle_power <= self.active_idle_power <= self.max_power:
            raise ConfigError(
                f"accelerator {self.name!r} has idle_power {self.idle_power} W, "
                f"active_idle_power {self.active_idle_power} W, max_power "
                f"{self.max_power} W.",
                hint="They must not decrease in that order, nor be negative.",
            )

    @property
    def embodied_rate(self) -> float:
        """gCO2e a second of existence, the GPU and its share of the server."""
        share_kg = self.server_embodied_carbon_kg / self.gpus_per_server
        grams = (self.embodied_carbon_kg + share_kg) * GRAMS_PER_KILOGRAM
        return grams / (self.lifetime_years * SECONDS_PER_YEAR)
