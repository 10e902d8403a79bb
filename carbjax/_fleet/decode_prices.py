"""The price of a cached token in a batch of decodes, tabulated.

In a batch of B decodes with K cached tokens in all, participants differ by their own
cached tokens alone. So whoever knows the price `a` of one of these knows all shares,
`(c - a K) / B + a k`, which add up to the cost c whatever `a` is. Streaming attribution
(docs/streaming.md) takes for `a` the mean price along the ray from the empty batch; here
it comes from a table instead of a quadrature a step.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._attribution.prices import average_prices
from carbjax._carbon.footprint import Rates
from carbjax._errors import ConfigError
from carbjax._surrogate.cost import AbstractIterationCost, Cost
from carbjax._surrogate.features import BatchFeatures

_KNOTS_AN_OCTAVE = 8
_MARGIN = 2  # knots on either side that a cubic needs


class DecodePrices(eqx.Module):
    """Prices of a cached token by the number of decodes and their mean context.

    Cubic in the logarithm of the mean context between knots, eight an octave. `fixed` is
    what running an iteration of decodes costs at all. The last axis is of
    the quantities: electricity (J), and latency (s) where `Rates.embodied` asks for it.
    """

    fixed: Float[Array, " quantities"]
    of_kv: Float[Array, "decodes knots quantities"]

    @staticmethod
    def of(
        cost: AbstractIterationCost,
        rates: Rates,
        *,
        most_decodes: int,
        most_kv: int,
        with_latency: bool,
    ) -> "DecodePrices":
        """The prices up to `most_decodes` requests with `most_kv` tokens in all."""
        octaves = np.log2(most_kv) + 2 * _MARGIN / _KNOTS_AN_OCTAVE
        knots = np.arange(-_MARGIN, octaves * _KNOTS_AN_OCTAVE + _MARGIN)
        context = jnp.asarray(2.0 ** (knots / _KNOTS_AN_OCTAVE), float)
        fixed, of_kv = _tabulate(cost, rates, context, most_decodes, with_latency)
        return DecodePrices(fixed, of_kv)

    def __call__(
        self, decodes: Float[Array, "*batch"], kv: Float[Array, "*batch"]
    ) -> Float[Array, "*batch quantities"]:
        """Price of a cached token; 0 decodes give that of one, which nobody pays."""
        row = jnp.clip(decodes.astype(jnp.int32) - 1, 0, self.of_kv.shape[0] - 1)
        mean = jnp.maximum(kv / jnp.maximum(decodes, 1), 1.0)
        place = jnp.log2(mean) * _KNOTS_AN_OCTAVE + _MARGIN
        first = jnp.clip(place.astype(jnp.int32) - 1, 0, self.of_kv.shape[1] - 4)
        x = place - (first + 1).astype(place.dtype)
        weights = (
            -x * (x - 1) * (x - 2) / 6,
            (x + 1) * (x - 1) * (x - 2) / 2,
            -(x + 1) * x * (x - 2) / 2,
            (x + 1) * x * (x - 1) / 6,
        )
        return sum(
            (w[..., None] * self.of_kv[row, first + i] for i, w in enumerate(weights)),
            start=jnp.zeros((), kv.dtype),
        )


def quantities(rates: Rates, with_latency: bool):
    """What is priced: electricity at the site, and seconds if embodied carbon accrues."""

    def electricity(cost: Cost) -> Float[Array, "*batch"]:
        return rates.electricity(*cost)

    def seconds(cost: Cost) -> Float[Array, "*batch"]:
        return cost[0]

    return (electricity, seconds) if with_latency else (electricity,)


def require_even_skew(cost: AbstractIterationCost) -> None:
    """Raises `ConfigError` if the cost asks for `decode_kv_sq`.

    Decodes of a batch would then differ by more than their cached tokens.
    """
    if any(float(slope) != 0 for slope in _slopes_of_skew(cost)):
        raise ConfigError(
            "the cost depends on `decode_kv_sq`, and a fleet's prices do not.",
            hint="Attribute with `carbjax attribute`, which takes any cost.",
        )


@eqx.filter_jit
def _slopes_of_skew(cost: AbstractIterationCost) -> Cost:
    """By how much a batch of decodes costs more for each token^2 of `decode_kv_sq`."""
    one = jnp.ones(())

    def of_skew(kv_sq: Float[Array, ""]) -> Cost:
        return cost(BatchFeatures(8 * one, 8 * one, 0 * one, 0 * one, 8 * one, one, kv_sq))

    return jax.jacfwd(of_skew)(1e9 * one)


@eqx.filter_jit
def _tabulate(cost, rates, context, most_decodes: int, with_latency: bool):
    def of_batch(decodes):
        kv = decodes * context
        ones, zero = jnp.ones_like(kv), jnp.zeros_like(kv)
        features = BatchFeatures(
            num_tokens=decodes * ones,
            num_sequences=decodes * ones,
            prefill_pairs=zero,
            prefill_kv=zero,
            decode_tokens=decodes * ones,
            decode_kv=kv,
            decode_kv_sq=decodes * context**2,
        )
        found = [average_prices(cost, w, features) for w in quantities(rates, with_latency)]
        fixed = jnp.stack([p.fixed[0] for p in found])
        return fixed, jnp.stack([p.features.decode_kv for p in found], axis=-1)

    fixed, of_kv = jax.lax.map(of_batch, jnp.arange(1, most_decodes + 1).astype(float))
    return fixed[0], of_kv
