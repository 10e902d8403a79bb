"""An operator as the fits describe it, and as the engine runs it."""

import dataclasses as dc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from carbjax._surrogate.cost import Cost
from carbjax._surrogate.curve import Curve
from carbjax._surrogate.power import PowerModel

OfCount = Callable[..., Any]
"""Numbers in, numbers out, elementwise; numpy's stay numpy's where the fit allows."""


class EnergySplit(NamedTuple):
    """Where the energy of an operator goes, J: the parts add up to it.

    `static` is drawn while a kernel runs whatever it does, so whoever is in the batch
    shares it; bytes and FLOPs have owners.
    """

    static: Float[Array, "*batch"]
    bytes: Float[Array, "*batch"]
    flops: Float[Array, "*batch"]

    @property
    def total(self) -> Float[Array, "*batch"]:
        """J."""
        return self.static + self.bytes + self.flops


@dc.dataclass(frozen=True)
class OperatorForm:
    """An operator of one model on one GPU, as functions of a count of items.

    `latency` in s; `moved` bytes and `flops` of all layers together. `power` says what
    they draw: `energy = static t + byte and FLOP energies`, for it is the iteration, not
    the kernel, that the GPU holds below its power limit.
    """

    latency: OfCount
    moved: OfCount
    flops: OfCount
    power: PowerModel

    def __call__(self, count: Float[Array, "*batch"]) -> Cost:
        """Latency (s) and energy (J, one GPU)."""
        latency, (bytes_, flops) = self.latency(count), self.work(count)
        return latency, self.power.static_power * latency + bytes_ + flops

    def work(self, count: Float[ArrayLike, "*batch"]) -> tuple[Any, Any]:
        """Energy (J, one GPU) of the bytes and of the FLOPs."""
        return (
            self.power.work(self.moved(count), 0.0),
            self.power.work(0.0, self.flops(count)),
        )

    def tabulate(self) -> "TabulatedOperator":
        """The form that an engine runs."""
        static = jnp.asarray(self.power.static_power, dtype=float)
        curve = Curve.through(lambda count: (self.latency(count), *self.work(count)))
        return TabulatedOperator(curve, static)


class TabulatedOperator(eqx.Module):
    """An operator that depends on one count, as curves."""

    curve: Curve  # latency in s, energy in J of bytes and of FLOPs, on one GPU
    static_power: Float[Array, ""]  # W

    @property
    def cost(self) -> Curve:
        """Latency in s and energy in J of one GPU."""
        latency, *work = self.curve.coefficients
        return Curve(jnp.stack([latency, self.static_power * latency + sum(work)]))

    def energy_split(self, count: Float[Array, "*batch"]) -> EnergySplit:
        """The energy (J, one GPU) by what it is spent on."""
        latency, bytes_, flops = self.curve(count)
        return EnergySplit(self.static_power.astype(latency.dtype) * latency, bytes_, flops)
