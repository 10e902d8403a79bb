"""What each token of a batch costs on average along the ray from the empty batch.

Aumann and Shapley's prices: `integral_0^1 grad c(tau z) dtau`, so that the tokens' prices
and the price of running the iteration at all, c(0+), add up to c(z).
"""

import functools as ft
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._surrogate.cost import AbstractIterationCost, Cost
from carbjax._surrogate.features import BatchFeatures

# Pieces of the ray, graded towards the empty batch by e^5: a kernel's cost bends where
# its launch gives way to its work, often at a small part of the batch.
_NUM_PIECES = 32
_RAY_GRADING = 5.0
_VANISHING = 1e-20  # of the batch: where a kernel in use costs its launch alone

Weigh = Callable[[Cost], Float[Array, "*batch"]]
"""Latency (s) and energy (J) to the quantity that is priced: linear in both."""

Along = Float[Array, "pieces *batch"]


class Prices(eqx.Module):
    """Average prices of a batch; `fixed + sum(prices * features)` is its cost."""

    fixed: Float[Array, "*batch"]
    features: BatchFeatures  # a unit of each feature


def average_prices(
    cost: AbstractIterationCost,
    weigh: Weigh,
    features: BatchFeatures,
    *,
    factors: Float[np.ndarray, " pieces"] | None = None,
) -> Prices:
    """Aumann-Shapley prices of the batch, and the fixed part c(0+), elementwise.

    The ray is cut into pieces, and what is shared out of each is what the cost really
    grows by over it, so the prices add up to the cost whatever the number of pieces;
    that only says how fine the parts are told apart (docs/streaming.md). Each piece's
    part is multiplied by its one of `factors`.
    """
    ends = _Ray.of(cost, features)
    of_latency, of_energy = _rates(cost, weigh, ends)
    priced = of_latency, of_energy
    if factors is not None:
        along = _spread(factors, features.num_tokens)
        priced = of_latency * along, of_energy * along
    tokens = _share(priced, ends.tokens, features.num_tokens)
    sequences = _share(priced, ends.sequences, features.num_sequences)
    in_kernels, *kernels = _kernel_prices(cost, priced, ends.attention, features)
    start = jax.tree.map(lambda x: x[0], ends.total)
    return Prices(
        fixed=weigh(cost.limit(*start)),
        features=BatchFeatures(tokens + in_kernels, sequences, *kernels),
    )


class _Ray(eqx.Module):
    """Latency and energy of each part at the ends of the pieces."""

    tokens: Cost
    sequences: Cost
    attention: Cost

    @staticmethod
    def of(cost: AbstractIterationCost, features: BatchFeatures) -> "_Ray":
        ends = _spread(_ends(), features.num_tokens)
        kernels = (ends * x[None] for x in _kernel_features(features))
        return _Ray(
            cost.token_part(ends * features.num_tokens[None]),
            cost.sequence_part(ends * features.num_sequences[None]),
            cost.attention_part(*kernels),
        )

    @property
    def total(self) -> Cost:
        (t0, e0), (t1, e1), (t2, e2) = self.tokens, self.sequences, self.attention
        return t0 + t1 + t2, e0 + e1 + e2


def _rates(cost: AbstractIterationCost, weigh: Weigh, ends: _Ray) -> tuple[Along, Along]:
    """What a second and a joule of the parts cost in each piece.

    The slopes of `limit` half-way, times how much more the cost really grows.
    """
    latency, energy = ends.total

    def priced(t: Along, e: Along) -> Along:
        return weigh(cost.limit(t, e))

    middle = (latency[1:] + latency[:-1]) / 2, (energy[1:] + energy[:-1]) / 2
    value, pull = jax.vjp(priced, *middle)
    of_latency, of_energy = pull(jnp.ones_like(value))
    guess = of_latency * _growth(latency) + of_energy * _growth(energy)
    more = _ratio(_growth(priced(latency, energy)), guess)
    return more * of_latency, more * of_energy


def _share(
    priced: tuple[Along, Along], part: Cost, amount: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Average price of a feature on which alone a part depends."""
    used = amount > 0
    grown = sum(jnp.sum(p * _growth(x), axis=0) for p, x in zip(priced, part, strict=True))
    return jnp.where(used, grown / jnp.where(used, amount, 1.0), 0.0)


def _kernel_prices(
    cost: AbstractIterationCost,
    priced: tuple[Along, Along],
    attention: Cost,
    features: BatchFeatures,
) -> tuple[Float[Array, "*batch"], ...]:
    """Average prices of the features in attention.

    In each piece attention's part grows by what it does; its gradient half-way says by
    which features.
    """
    point = _kernel_features(features)
    ends = _spread(_ends(), features.num_tokens)
    width, middle = _growth(ends), (ends[1:] + ends[:-1]) / 2
    _, pull = jax.vjp(cost.attention_part, *(middle * x[None] for x in point))
    # As products of matrices, since XLA would repeat the gradient in each of several sums.
    gradient = jnp.stack([width * g for g in pull(priced)])
    guess = _contract("f...,fp...->p...", jnp.stack(point), gradient)
    of_latency, of_energy = (p * _growth(x) for p, x in zip(priced, attention, strict=True))
    more = _ratio(of_latency + of_energy, guess)
    return tuple(_contract("p...,fp...->f...", more, gradient))


_contract = ft.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


def _kernel_features(f: BatchFeatures) -> tuple[Float[Array, "*batch"], ...]:
    return (
        f.num_tokens,
        f.prefill_pairs,
        f.prefill_kv,
        f.decode_tokens,
        f.decode_kv,
        f.decode_kv_sq,
    )


def _growth(values: Float[Array, "ends *batch"]) -> Along:
    return values[1:] - values[:-1]


def _ratio(real: Along, guess: Along) -> Along:
    """real / guess, and 1 where nothing was to be shared."""
    some = guess != 0
    return jnp.where(some, real / jnp.where(some, guess, 1.0), 1.0)


def _ends() -> np.ndarray:
    """Ends of the pieces: almost 0 first, where kernels are in use but do nothing; 1."""
    steps = np.linspace(0.0, 1.0, _NUM_PIECES + 1)
    ends = np.expm1(_RAY_GRADING * steps) / np.expm1(_RAY_GRADING)
    ends[0] = _VANISHING
    return ends


def middles() -> Float[np.ndarray, " pieces"]:
    """How far along the ray, 0 to 1, the middle of each piece lies."""
    ends = _ends()
    return (ends[1:] + ends[:-1]) / 2


def _spread(ends: np.ndarray, like: Float[Array, "*batch"]) -> Float[Array, "ends *batch"]:
    return jnp.asarray(ends.reshape(-1, *(1 for _ in like.shape)), like.dtype)
