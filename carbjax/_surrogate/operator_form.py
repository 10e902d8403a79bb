"""An operator as the fits describe it, and as the engine runs it."""

import dataclasses as dc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._surrogate.cost import Cost
from carbjax._surrogate.curve import Curve
from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.smooth import smooth_min

OfCount = Callable[[Float[Array, "*batch"]], Float[Array, "*batch"]]


class EnergySplit(NamedTuple):
    """Where the energy of an operator goes, J: the parts add up to it.

    `static` is drawn while a kernel runs whatever it does, so whoever is in the batch
    shares it; bytes and FLOPs have owners. At the power cap all shrink alike.
    """

    static: Float[Array, "*batch"]
    bytes: Float[Array, "*batch"]
    flops: Float[Array, "*batch"]


@dc.dataclass(frozen=True)
class OperatorForm:
    """An operator of one model on one GPU, as functions of a count of items.

    `latency` in s; `moved` bytes and `flops` of all layers together. `power` says what
    they draw: `energy = smooth_min(static t + byte and FLOP energies, cap t)`.
    """

    latency: OfCount
    moved: OfCount
    flops: OfCount
    power: PowerModel

    def __call__(self, count: Float[Array, "*batch"]) -> Cost:
        """Latency (s) and energy (J, one GPU)."""
        latency, (bytes_, flops) = self.latency(count), self.work(count)
        taken = latency > 0
        seconds = jnp.where(taken, latency, 1.0)
        free = self.power.static_power * seconds + bytes_ + flops
        energy = smooth_min(free, self.power.max_power * seconds)
        return latency, jnp.where(taken, energy, 0.0)

    def work(self, count: Float[Array, "*batch"]) -> tuple[Array, Array]:
        """Energy (J, one GPU) of the bytes and of the FLOPs, below the power cap."""
        return (
            self.power.work(self.moved(count), 0.0),
            self.power.work(0.0, self.flops(count)),
        )

    def tabulate(self) -> "TabulatedOperator":
        """The form that an engine runs."""
        static = jnp.asarray(self.power.static_power, dtype=float)
        return TabulatedOperator(Curve.through(self), Curve.through(self.work), static)


class TabulatedOperator(eqx.Module):
    """An operator that depends on one count, as curves."""

    cost: Curve  # latency in s, energy in J of one GPU
    work: Curve  # energy in J of bytes and of FLOPs, below the power cap
    static_power: Float[Array, ""]  # W

    def __call__(self, count: Float[Array, "*batch"]) -> Cost:
        """Latency (s) and energy (J, one GPU)."""
        latency, energy = self.cost(count)
        return latency, energy

    def energy_split(self, count: Float[Array, "*batch"]) -> EnergySplit:
        """The energy (J, one GPU) by what it is spent on."""
        latency, energy = self.cost(count)
        static = self.static_power.astype(latency.dtype) * latency
        return scaled_split(EnergySplit(static, *self.work(count)), energy)


def scaled_split(split: EnergySplit, energy: Float[Array, "*batch"]) -> EnergySplit:
    """The parts scaled alike, to add up to `energy`; nothing where that is 0."""
    free = split.static + split.bytes + split.flops
    share = jnp.where(free > 0, energy / jnp.where(free > 0, free, 1.0), 0.0)
    return EnergySplit(*(share * part for part in split))
