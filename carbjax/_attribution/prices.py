"""What each token of a batch costs on average along the ray from the empty batch.

Aumann and Shapley's prices: `integral_0^1 grad c(tau z) dtau`, so that the tokens' prices
and the price of running the iteration at all, c(0+), add up to c(z).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._surrogate.cost import AbstractIterationCost, Cost
from carbjax._surrogate.features import BatchFeatures

_NUM_RAY_NODES = 12
_VANISHING = 1e-20  # of the batch: where a kernel in use costs its launch alone

Weigh = Callable[[Cost], Float[Array, "*batch"]]
"""Latency (s) and energy (J) to the quantity that is priced: linear in both."""


class Prices(eqx.Module):
    """Average prices of a batch; `fixed + sum(prices * features)` is its cost."""

    fixed: Float[Array, "*batch"]
    features: BatchFeatures  # a unit of each feature


def average_prices(
    cost: AbstractIterationCost, weigh: Weigh, features: BatchFeatures
) -> Prices:
    """Aumann-Shapley prices of the batch, and the fixed part c(0+), elementwise.

    Of what depends on the tokens or sequences alone the average price is exact; that of
    attention is a Gauss quadrature along the ray.
    """
    tokens, sequences = features.num_tokens, features.num_sequences
    fixed_tokens, price_tokens = _one_feature(lambda x: weigh(cost.token_part(x)), tokens)
    fixed_sequences, price_sequences = _one_feature(
        lambda x: weigh(cost.sequence_part(x)), sequences
    )

    def attention(*along: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return weigh(cost.attention_part(*along))

    kernel_features = (
        features.prefill_pairs,
        features.prefill_kv,
        features.decode_tokens,
        features.decode_kv,
        features.decode_kv_sq,
    )
    launch = attention(*(_VANISHING * x for x in kernel_features))
    kernel_prices = _ray_mean_gradient(attention, kernel_features)
    return Prices(
        fixed=fixed_tokens + fixed_sequences + launch,
        features=BatchFeatures(price_tokens, price_sequences, *kernel_prices),
    )


def _one_feature(
    part: Callable[[Float[Array, "*batch"]], Float[Array, "*batch"]],
    amount: Float[Array, "*batch"],
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Fixed part and average price of a cost of one feature: no quadrature is needed."""
    fixed = part(jnp.zeros_like(amount))
    used = amount > 0
    price = (part(amount) - fixed) / jnp.where(used, amount, 1.0)
    return fixed, jnp.where(used, price, 0.0)


def _ray_mean_gradient(
    function: Callable[..., Float[Array, "*batch"]],
    point: tuple[Float[Array, "*batch"], ...],
) -> tuple[Float[Array, "*batch"], ...]:
    """`integral_0^1 grad f(tau z) dtau` at z = `point`, elementwise.

    tau = u^2, for attention bends where few tokens are in the batch.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NUM_RAY_NODES)
    u = (nodes + 1) / 2
    total = tuple(jnp.zeros_like(x) for x in point)
    for tau, weight in zip(u**2, weights * u, strict=True):
        value, pull = jax.vjp(function, *(float(tau) * x for x in point))
        gradient = pull(jnp.ones_like(value))
        total = tuple(t + float(weight) * g for t, g in zip(total, gradient, strict=True))
    return total
