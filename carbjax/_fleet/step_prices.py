"""Prices of the steps of a block: decode runs from the table, the others one by one."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from carbjax._attribution.prices import Prices, average_prices
from carbjax._carbon.footprint import Rates
from carbjax._fleet.decode_prices import DecodePrices, quantities
from carbjax._serving.engine import Step
from carbjax._surrogate.cost import AbstractIterationCost
from carbjax._surrogate.features import BatchFeatures

_AT_ONCE = 128  # iterations with prompts that are priced together
# Of the ray to a batch: told apart to 0.04% of the iteration in the median, 0.2% at most.
_NUM_PIECES = 8


class StepPrices(eqx.Module):
    """What the participants of a step pay, over all its iterations; 0 if rejected."""

    fixed: Float[Array, "*steps"]  # for running it at all, by all together
    token: Float[Array, "*steps"]  # for a token of a prompt's chunk
    pair: Float[Array, "*steps"]
    prefill_kv: Float[Array, "*steps"]
    sequence: Float[Array, "*steps"]  # for the end of a prompt
    decode: Float[Array, "*steps"]  # for a decode, and a cached token of its first context
    decode_kv: Float[Array, "*steps"]


class Pricing(eqx.Module):
    """All that prices need to know of a system."""

    cost: AbstractIterationCost
    rates: Rates
    decode: DecodePrices
    with_latency: bool = eqx.field(static=True)

    def of(self, steps: Step) -> tuple[StepPrices, ...]:
        """Prices of each step, one for each quantity.

        `steps` have axes steps, seats or nodes, lanes; the prices steps, lanes.
        """
        is_run = ~jnp.any(steps.batch.prefilling, axis=1)
        runs = self._of_runs(steps)
        mixed = self._of_mixed(steps, ~is_run & (steps.num_iterations > 0))
        return tuple(
            jax.tree.map(lambda r, m: jnp.where(is_run, r, m), *pair)
            for pair in zip(runs, mixed, strict=True)
        )

    def _of_runs(self, steps: Step) -> list[StepPrices]:
        """Prices of decodes alone: see `DecodePrices`."""
        measured = steps.measured
        f, weights = measured.features, measured.weights
        of_kv = self.decode(f.decode_tokens, f.decode_kv)
        decodes = jnp.maximum(f.decode_tokens, 1)
        num_iterations = jnp.sum(weights, axis=1)

        def prices(i: int, amount: Array) -> StepPrices:
            fixed, kv = self.decode.fixed[i], weights * of_kv[..., i]
            each = (weights * (amount - fixed) - kv * f.decode_kv) / decodes
            zero = jnp.zeros_like(num_iterations)
            return StepPrices(
                fixed=fixed * num_iterations,
                token=zero,
                pair=zero,
                prefill_kv=zero,
                sequence=zero,
                decode=jnp.sum(each + measured.nodes * kv, axis=1),
                decode_kv=jnp.sum(kv, axis=1),
            )

        amounts = (
            weigh((measured.latency, measured.energy))
            for weigh in quantities(self.rates, self.with_latency)
        )
        return [prices(i, amount) for i, amount in enumerate(amounts)]

    def _of_mixed(
        self, steps: Step, is_mixed: Bool[Array, "steps lanes"]
    ) -> list[StepPrices]:
        """Prices of the iterations with prompts, 0 of the others."""
        flags = is_mixed.reshape(-1)
        size = len(flags)
        at_once = min(_AT_ONCE, size)
        features = jax.tree.map(lambda x: x[:, 1].reshape(-1), steps.measured.features)
        (where,) = jnp.nonzero(flags, size=size + at_once, fill_value=size)
        count = jnp.sum(flags)

        def price(state):
            done, found = state
            some = jax.lax.dynamic_slice(where, (done,), (at_once,))
            batch = jax.tree.map(lambda x: x[jnp.minimum(some, size - 1)], features)
            priced = [
                average_prices(self.cost, w, batch, num_pieces=_NUM_PIECES)
                for w in quantities(self.rates, self.with_latency)
            ]
            found = jax.tree.map(
                lambda all_, new: all_.at[some].set(new, mode="drop"), found, priced
            )
            return done + at_once, found

        blank = Prices(jnp.zeros(size), BatchFeatures(*[jnp.zeros(size)] * 7))
        start = jnp.zeros((), count.dtype), [blank for _ in range(1 + self.with_latency)]
        _, found = jax.lax.while_loop(lambda s: s[0] < count, price, start)
        found = jax.tree.map(lambda x: x.reshape(is_mixed.shape), found)
        return [_of_iteration(prices) for prices in found]


def _of_iteration(prices: Prices) -> StepPrices:
    """The prices of a step of one iteration."""
    of = prices.features
    return StepPrices(
        fixed=prices.fixed,
        token=of.num_tokens,
        pair=of.prefill_pairs,
        prefill_kv=of.prefill_kv,
        sequence=of.num_sequences,
        decode=of.num_tokens + of.num_sequences + of.decode_tokens,
        decode_kv=of.decode_kv,
    )
