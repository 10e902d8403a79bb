"""From latency and energy to grams: the carbon model of one backend.

See docs/semantics.md.
"""

import equinox as eqx
from jaxtyping import Array, Float

from carbjax._carbon.emissions import Emissions, no_emissions
from carbjax._carbon.intensity import RelativeIntensity
from carbjax._units import JOULES_PER_KWH

PROVISIONING = ("always_on", "on_demand")


class Rates(eqx.Module):
    """What an iteration emits: linear in its energy (J) and its latency (s)."""

    energy: Float[Array, ""]  # J of electricity at the site for each J of the GPUs
    time: Float[Array, ""]  # W of electricity at the site while an iteration runs
    embodied: Float[Array, ""]  # gCO2e/s while an iteration runs

    def electricity(
        self, latency: Float[Array, "*batch"], energy: Float[Array, "*batch"]
    ) -> Float[Array, "*batch"]:
        """J at the site, above what the machine would draw if nothing ran."""
        return self.energy * energy + self.time * latency


class Footprint(eqx.Module):
    """Powers of all GPUs of the backend and of its host, PUE, and embodied carbon.

    `always_on`: the machine exists for the whole window, so an iteration adds only
    what it draws above idle. `on_demand`: the machine exists only while it works, so
    an iteration carries its host power and embodied carbon too.
    """

    idle_power: Float[Array, ""]  # W, all GPUs
    host_power: Float[Array, ""]  # W
    embodied_rate: Float[Array, ""]  # gCO2e/s
    pue: Float[Array, ""]
    provisioning: str = eqx.field(static=True)

    @property
    def rates(self) -> Rates:
        if self.provisioning == "always_on":
            return Rates(self.pue, -self.idle_power * self.pue, 0 * self.embodied_rate)
        return Rates(self.pue, self.host_power * self.pue, self.embodied_rate)

    def standing(
        self,
        start_s: Float[Array, ""],
        end_s: Float[Array, ""],
        intensity: RelativeIntensity,
    ) -> Emissions:
        """v of the empty coalition: what the machine emits over the window if unused."""
        if self.provisioning == "on_demand":
            return no_emissions()
        zero = 0 * self.pue
        power = (self.idle_power + self.host_power) * self.pue
        return Emissions(
            prefill=zero,
            decode=zero,
            idle=power * intensity.integral(start_s, end_s) / JOULES_PER_KWH,
            embodied=self.embodied_rate * (end_s - start_s),
            energy_j=power * (end_s - start_s),
        )
