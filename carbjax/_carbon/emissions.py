"""What serving emits, by component."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

COMPONENTS = ("prefill", "decode", "idle", "embodied")


class Emissions(eqx.Module):
    """Carbon by component in gCO2e, and the electricity behind it; they add up.

    `prefill` and `decode` are operational carbon of iterations, `idle` that of a
    machine kept on, `embodied` that of making it. `energy_j` is electricity at the
    meter of the site: GPUs and host, times PUE.
    """

    prefill: Float[Array, "*batch"]
    decode: Float[Array, "*batch"]
    idle: Float[Array, "*batch"]
    embodied: Float[Array, "*batch"]
    energy_j: Float[Array, "*batch"]

    @property
    def total(self) -> Float[Array, "*batch"]:
        """All components, gCO2e."""
        return self.prefill + self.decode + self.idle + self.embodied

    @property
    def operational(self) -> Float[Array, "*batch"]:
        """Carbon of the electricity, gCO2e."""
        return self.prefill + self.decode + self.idle

    def __add__(self, other: "Emissions") -> "Emissions":
        return jax.tree.map(lambda a, b: a + b, self, other)

    def __sub__(self, other: "Emissions") -> "Emissions":
        return jax.tree.map(lambda a, b: a - b, self, other)

    def scale(self, factor: Float[Array, "*batch"] | float) -> "Emissions":
        return jax.tree.map(lambda a: a * factor, self)


def no_emissions(*shape: int) -> Emissions:
    """Zeros of this shape."""
    zero = jnp.zeros(shape)
    return Emissions(zero, zero, zero, zero, zero)
