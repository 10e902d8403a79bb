"""Streaming attribution: Aumann-Shapley prices of each iteration, as it runs.

See docs/streaming.md. Cost: O(iterations + requests), a handful of prices a step.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._attribution.prices import Prices, Weigh, average_prices
from carbjax._carbon.emissions import Emissions, no_emissions
from carbjax._carbon.footprint import Footprint
from carbjax._serving.batch import Batch
from carbjax._serving.engine import Step
from carbjax._serving.observers import AbstractObserver, Account
from carbjax._surrogate.cost import AbstractIterationCost
from carbjax._units import JOULES_PER_KWH


class StreamingObserver(AbstractObserver):
    """Each request's share of every iteration that it takes part in.

    `phi_ij = c_j(0+) / b_j + z_ij . integral_0^1 grad c_j(tau z_j) dtau`: who takes part
    shares the price of running the iteration at all, and pays its tokens' average price.
    Where the players are `num_tenants` tenants, the requests of one in a batch are one
    participant; None where each request is a player.
    """

    cost: AbstractIterationCost
    footprint: Footprint
    num_tenants: int | None = eqx.field(static=True)

    def zero(self, num_slots: int) -> Account:
        return Account((), no_emissions(num_slots))

    def observe(self, account: Account, step: Step) -> Account:
        return self.observe_prepared(account, step, self._shares(step))

    def prepare(self, steps: Step) -> Emissions:
        """What each request is charged for each step."""
        return jax.vmap(self._shares)(steps)

    def observe_prepared(
        self, account: Account, step: Step, prepared: Emissions
    ) -> Account:
        return Account((), account.slots + prepared)

    def _shares(self, step: Step) -> Emissions:
        presence = presence_of(step, self.num_tenants)
        return priced_shares(self.cost, self.footprint, step, presence)


def priced_shares(
    cost: AbstractIterationCost,
    footprint: Footprint,
    step: Step,
    presence: Float[Array, " slots"],
    *,
    factors: Float[np.ndarray, " pieces"] | None = None,
) -> Emissions:
    """What each participant pays at the step's prices, by component.

    `presence` is each request's part of the fixed price; `factors` as in
    `average_prices`.
    """
    rates = footprint.rates

    def share(weigh: Weigh) -> Float[Array, " slots"]:
        prices = average_prices(cost, weigh, step.measured.features, factors=factors)
        return step_shares(prices, step, presence)

    electricity = share(lambda c: rates.electricity(*c))
    embodied = jnp.zeros_like(electricity)
    if footprint.provisioning == "on_demand":
        embodied = rates.embodied * share(lambda c: c[0])
    return charge(step, electricity, embodied)


def charge(
    step: Step, electricity: Float[Array, " slots"], embodied: Float[Array, " slots"]
) -> Emissions:
    """Emissions of each participant from its share of the step's electricity (J).

    They are those of the phase that the participant is in.
    """
    grams = electricity * step.intensity / JOULES_PER_KWH
    return Emissions(
        prefill=jnp.where(step.batch.prefilling, grams, 0.0),
        decode=jnp.where(step.batch.decoding, grams, 0.0),
        idle=jnp.zeros_like(grams),
        embodied=embodied,
        energy_j=electricity,
    )


def step_shares(
    prices: Prices, step: Step, presence: Float[Array, " slots"]
) -> Float[Array, " slots"]:
    """The step's cost, shared: its sum over the nodes of fixed part and tokens."""
    batch, weights, nodes = step.batch, step.measured.weights, step.measured.nodes
    real = weights.dtype
    decoding = batch.decoding.astype(real)
    price = jax.tree.map(lambda x: jnp.sum(weights * x), prices.features)
    later_kv = jnp.sum(weights * nodes * prices.features.decode_kv)
    kv_sq = prices.features.decode_kv_sq
    later_kv_sq = jnp.sum(weights * nodes * kv_sq)
    latest_kv_sq = jnp.sum(weights * nodes**2 * kv_sq)
    context = batch.context
    decode = price.num_tokens + price.num_sequences + price.decode_tokens
    decode = decode + price.decode_kv * context + later_kv
    decode = decode + price.decode_kv_sq * context**2
    decode = decode + 2 * later_kv_sq * context + latest_kv_sq
    fixed = jnp.sum(weights * prices.fixed)
    return fixed * presence + decoding * decode + _chunk_shares(price, batch)


def _chunk_shares(price, batch: Batch) -> Float[Array, " slots"]:
    chunk, cached = batch.chunk, batch.cached
    pairs = chunk * cached + chunk * (chunk + 1) / 2
    kv = jnp.where(batch.prefilling, cached + chunk, 0.0)
    return (
        price.num_tokens * chunk
        + price.num_sequences * batch.ends_prompt.astype(chunk.dtype)
        + price.prefill_pairs * pairs
        + price.prefill_kv * kv
    )


def presence_of(step: Step, num_tenants: int | None) -> Float[Array, " slots"]:
    """Each request's part of the fixed price; the parts of a batch add up to 1."""
    takes_part = step.batch.prefilling | step.batch.decoding
    present = takes_part.astype(step.measured.weights.dtype)
    if num_tenants is None:
        return present / jnp.maximum(jnp.sum(present), 1)
    by_tenant = jax.ops.segment_sum(present, step.player, num_tenants)
    of_player = jnp.maximum(by_tenant[step.player], 1)
    # Each participant counts 1 / (requests of its player), so this counts players.
    players = jnp.sum(present / of_player)
    return present / (of_player * jnp.maximum(players, 1))
