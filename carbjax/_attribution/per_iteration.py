"""Each iteration's emissions, divided by a simple key among those who take part."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._attribution.streaming import charge
from carbjax._carbon.emissions import no_emissions
from carbjax._carbon.footprint import Footprint
from carbjax._serving.engine import Step
from carbjax._serving.observers import AbstractObserver, Account


class AbstractKeyObserver(AbstractObserver):
    """Shares of every iteration in proportion to a key of its participants."""

    footprint: eqx.AbstractVar[Footprint]

    @abc.abstractmethod
    def key(self, step: Step) -> Float[Array, " slots"]:
        """What the iteration's emissions are in proportion to; 0 for who is absent."""

    def zero(self, num_slots: int) -> Account:
        return Account((), no_emissions(num_slots))

    def observe(self, account: Account, step: Step) -> Account:
        measured, rates = step.measured, self.footprint.rates
        key = self.key(step)
        whole = jnp.sum(key)
        part = key / jnp.where(whole > 0, whole, 1.0)
        electricity = rates.electricity(measured.latency, measured.energy)
        busy = jnp.sum(measured.weights * measured.latency)
        electricity_j = jnp.sum(measured.weights * electricity) * part
        shares = charge(step, electricity_j, rates.embodied * busy * part)
        return Account((), account.slots + shares)


class EqualObserver(AbstractKeyObserver):
    """The same share for each participant."""

    footprint: Footprint

    def key(self, step: Step) -> Float[Array, " slots"]:
        return (step.batch.prefilling | step.batch.decoding).astype(step.start.dtype)


class TokensObserver(AbstractKeyObserver):
    """Shares by tokens: those of the chunk, one for a decode.

    A batch without tokens (the prefill of empty prompts alone) is shared equally.
    """

    footprint: Footprint

    def key(self, step: Step) -> Float[Array, " slots"]:
        batch = step.batch
        tokens = batch.chunk + batch.decoding.astype(batch.chunk.dtype)
        equal = (batch.prefilling | batch.decoding).astype(batch.chunk.dtype)
        return jnp.where(jnp.sum(tokens) > 0, tokens, equal)
