"""What is learnt along a run: folds over its steps. One engine, several observers."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from carbjax._carbon.emissions import Emissions, no_emissions
from carbjax._carbon.footprint import Footprint
from carbjax._serving.batch import Batch, Measured
from carbjax._serving.engine import Step
from carbjax._units import JOULES_PER_KWH


class Account(eqx.Module):
    """What an observer has gathered: over the run, and for each slot's request."""

    totals: Any  # scalars
    slots: Any  # " slots"


class AbstractObserver(eqx.Module):
    """A fold over the steps of a run. Steps without participants must change nothing."""

    @abc.abstractmethod
    def zero(self, num_slots: int) -> Account:
        """The account before the first step; per-slot entries are all 0 or all NaN."""

    @abc.abstractmethod
    def observe(self, account: Account, step: Step) -> Account:
        """The account after `step`."""

    def prepare(self, steps: Step) -> Any:
        """What `observe_prepared` needs of each step, worked out for many at once.

        The leaves of `steps`, and of what comes back, have a leading axis.
        """
        return ()

    def observe_prepared(self, account: Account, step: Step, prepared: Any) -> Account:
        """The account after `step`, of which `prepared` is what `prepare` said."""
        return self.observe(account, step)


def phase_sums(
    values: Float[Array, "3 *lanes"], weights: Float[Array, "3 *lanes"], batch: Batch
) -> tuple[Float[Array, "*lanes"], Float[Array, "*lanes"]]:
    """A step's sum of `values` (latency or energy at its nodes), by prefill and decode.

    An iteration of both phases is split by the Shapley value of the game between its
    prefill chunks as one player and its decodes as the other.
    """
    total = jnp.sum(weights * values, axis=0)
    both = (values[1] - values[2] + values[0]) / 2
    prefill = jnp.where(batch.has_both_phases, both, total)
    prefill = jnp.where(batch.is_run, 0.0, prefill)
    return prefill, total - prefill


class Totals(eqx.Module):
    """Sums over a run."""

    emissions: Emissions  # above the empty coalition's
    busy_s: Float[Array, "*lanes"]
    gpu_energy_j: Float[Array, "*lanes"]
    num_iterations: Float[Array, "*lanes"]


class TotalsObserver(AbstractObserver):
    """Emissions, busy time, GPU energy and iterations of a run."""

    footprint: Footprint

    def zero(self, num_slots: int) -> Account:
        zero = jnp.zeros(())
        return Account(Totals(no_emissions(), zero, zero, zero), ())

    def observe(self, account: Account, step: Step) -> Account:
        before: Totals = account.totals
        measured = step.measured
        latency = jnp.sum(measured.weights * measured.latency, axis=0)
        energy = jnp.sum(measured.weights * measured.energy, axis=0)
        emissions = step_emissions(self.footprint, step.batch, measured, step.intensity)
        totals = Totals(
            emissions=before.emissions + emissions,
            busy_s=before.busy_s + latency,
            gpu_energy_j=before.gpu_energy_j + energy,
            num_iterations=before.num_iterations + step.num_iterations,
        )
        return Account(totals, ())


def step_emissions(
    footprint: Footprint,
    batch: Batch,
    measured: Measured,
    intensity: Float[Array, "*lanes"],
) -> Emissions:
    """What iterations of this batch emit at this mean intensity."""
    rates = footprint.rates
    electricity = rates.electricity(measured.latency, measured.energy)
    prefill_j, decode_j = phase_sums(electricity, measured.weights, batch)
    grams = intensity / JOULES_PER_KWH
    busy = jnp.sum(measured.weights * measured.latency, axis=0)
    return Emissions(
        prefill=prefill_j * grams,
        decode=decode_j * grams,
        idle=jnp.zeros_like(busy),
        embodied=rates.embodied * busy,
        energy_j=prefill_j + decode_j,
    )


class Times(eqx.Module):
    """When each request was first scheduled, had its prompt read, and finished."""

    start_s: Float[Array, "slots *lanes"]
    first_token_s: Float[Array, "slots *lanes"]
    finish_s: Float[Array, "slots *lanes"]


class TimesObserver(AbstractObserver):
    """Times of each request, NaN for what did not happen."""

    def zero(self, num_slots: int) -> Account:
        unknown = jnp.full(num_slots, jnp.nan)
        return Account((), Times(unknown, unknown, unknown))

    def observe(self, account: Account, step: Step) -> Account:
        before: Times = account.slots

        def mark(old: Float[Array, "slots *lanes"], who: Bool[Array, "slots *lanes"], when):
            return jnp.where(who, when, old)

        starts = (
            step.batch.prefilling & (step.batch.cached == 0) & jnp.isnan(before.start_s)
        )
        return Account(
            (),
            Times(
                start_s=mark(before.start_s, starts, step.start),
                first_token_s=mark(before.first_token_s, step.batch.ends_prompt, step.end),
                finish_s=mark(before.finish_s, step.finished, step.end),
            ),
        )
