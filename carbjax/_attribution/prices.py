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

# 32 nodes, graded towards 0 with e^5, close shipped costs to 3e-10 (docs/streaming.md).
_NUM_RAY_NODES = 32
_RAY_GRADING = 5.0
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
        features.num_tokens,
        features.prefill_pairs,
        features.prefill_kv,
        features.decode_tokens,
        features.decode_kv,
        features.decode_kv_sq,
    )
    launch = attention(*(_VANISHING * x for x in kernel_features))
    price_in_kernels, *kernel_prices = _ray_mean_gradient(attention, kernel_features)
    return Prices(
        fixed=fixed_tokens + fixed_sequences + launch,
        features=BatchFeatures(
            price_tokens + price_in_kernels, price_sequences, *kernel_prices
        ),
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

    Gauss's rule in u with tau = (e^(5u) - 1) / (e^5 - 1): a kernel's cost bends where its
    launch gives way to its work, often at a small part of the batch.
    """
    along = (-1, *(1 for _ in point[0].shape))
    tau, weight = (jnp.asarray(x.reshape(along), point[0].dtype) for x in _ray_rule())
    value, pull = jax.vjp(function, *(tau * x[None] for x in point))
    gradient = pull(jnp.ones_like(value))
    return tuple(jnp.sum(weight * g, axis=0) for g in gradient)


def _ray_rule() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(_NUM_RAY_NODES)
    growth = np.exp(_RAY_GRADING * (nodes + 1) / 2)
    span = np.expm1(_RAY_GRADING)
    return (growth - 1) / span, weights / 2 * _RAY_GRADING * growth / span
