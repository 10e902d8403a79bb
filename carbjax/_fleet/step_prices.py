"""Prices of the steps of a block: decode runs from the table, the others one by one."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._attribution.prices import Prices, average_prices
from carbjax._carbon.footprint import Rates
from carbjax._fleet.decode_prices import DecodePrices, quantities
from carbjax._serving.engine import Step
from carbjax._surrogate.cost import AbstractIterationCost
from carbjax._surrogate.features import BatchFeatures

_AT_ONCE = 256  # iterations with prompts that are priced together
# Of the ray to a batch: told apart to 0.04% of the iteration in the median, 0.2% at most.
_NUM_PIECES = 8


class Pricing(eqx.Module):
    """All that prices need to know of a system."""

    cost: AbstractIterationCost
    rates: Rates
    decode: DecodePrices
    with_latency: bool = eqx.field(static=True)

    def of(self, steps: Step) -> tuple[Prices, ...]:
        """Prices at the nodes of each step, one for each quantity; 0 where rejected.

        `steps` have leading axes; the prices have these and the axis of the nodes.
        """
        weighs = quantities(self.rates, self.with_latency)
        amounts = [w((steps.measured.latency, steps.measured.energy)) for w in weighs]
        runs = self._of_runs(steps.measured.features, amounts)
        mixed = self._of_mixed(steps)
        is_run = jax.vmap(jax.vmap(lambda s: s.batch.is_run))(steps)[..., None]
        return tuple(
            jax.tree.map(lambda r, m: jnp.where(is_run, r, _in_the_middle(m)), *pair)
            for pair in zip(runs, mixed, strict=True)
        )

    def _of_runs(self, f: BatchFeatures, amounts: list[Array]) -> list[Prices]:
        """Prices of decodes alone: see `DecodePrices`."""
        of_kv = self.decode(f.decode_tokens, f.decode_kv)
        decodes = jnp.maximum(f.decode_tokens, 1)
        zero = jnp.zeros_like(decodes)

        def prices(i: int, amount: Array) -> Prices:
            fixed, kv = self.decode.fixed[i], of_kv[..., i]
            each = (amount - fixed - kv * f.decode_kv) / decodes
            return Prices(
                fixed=fixed + zero,
                features=BatchFeatures(zero, zero, zero, zero, each, kv, zero),
            )

        return [prices(i, amount) for i, amount in enumerate(amounts)]

    def _of_mixed(self, steps: Step) -> list[Prices]:
        """Prices of the iterations with prompts, 0 of the others."""
        happened = steps.num_iterations > 0
        is_mixed = happened & jax.vmap(jax.vmap(lambda s: ~s.batch.is_run))(steps)
        shape, flags = is_mixed.shape, is_mixed.reshape(-1)
        size = len(flags)
        at_once = min(_AT_ONCE, size)
        features = jax.tree.map(lambda x: x[..., 1].reshape(-1), steps.measured.features)
        (where,) = jnp.nonzero(flags, size=size + at_once, fill_value=size)
        count = jnp.sum(flags)

        def price(state):
            done, found = state
            some = jax.lax.dynamic_slice(where, (done,), (at_once,))
            batch = jax.tree.map(lambda x: x[jnp.minimum(some, size - 1)], features)
            priced = [
                average_prices(self.cost, w, batch, num_pieces=_NUM_PIECES, in_turn=True)
                for w in quantities(self.rates, self.with_latency)
            ]
            found = jax.tree.map(
                lambda all_, new: all_.at[some].set(new, mode="drop"), found, priced
            )
            return done + at_once, found

        blank = Prices(jnp.zeros(size), BatchFeatures(*[jnp.zeros(size)] * 7))
        start = jnp.zeros((), count.dtype), [blank for _ in range(1 + self.with_latency)]
        _, found = jax.lax.while_loop(lambda s: s[0] < count, price, start)
        return jax.tree.map(lambda x: x.reshape(shape), found)


def _in_the_middle(price: Float[Array, "*steps"]) -> Float[Array, "*steps 3"]:
    """At the node of the one iteration; the outer two have no weight."""
    zero = jnp.zeros_like(price)
    return jnp.stack([zero, price, zero], axis=-1)
