"""What each token of a batch costs on average along the ray from the empty batch.

Aumann and Shapley's prices: `integral_0^1 grad c(tau z) dtau`, so that the tokens' prices
and the price of running the iteration at all, c(0+), add up to c(z).
"""

import functools as ft
from collections.abc import Callable
from typing import TypeVar

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

_Found = TypeVar("_Found")


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
    num_pieces: int = _NUM_PIECES,
) -> Prices:
    """Aumann-Shapley prices of the batch, and the fixed part c(0+), elementwise.

    The ray is cut into pieces, and what is shared out of each is what the cost really
    grows by over it, so the prices add up to the cost whatever the number of pieces;
    that only says how fine the parts are told apart (docs/streaming.md). Each piece's
    part is multiplied by its one of `factors`.
    """
    ends = _ends(num_pieces)
    scale = np.ones(num_pieces) if factors is None else factors
    real = features.num_tokens.dtype
    low, high, scale = (jnp.asarray(x, real) for x in (ends[:-1], ends[1:], scale))
    start = _Parts.at(low[0], cost, features)
    after = _in_halves(lambda end: _Parts.at(end, cost, features), high)
    before = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:-1]]), start, after)
    rates = _in_halves(ft.partial(_rates, cost, weigh), before.total, after.total)
    slopes = _in_halves(ft.partial(_slopes, cost, features), low, high, rates)
    each = jax.vmap(ft.partial(_by_cause, features))
    grown = each(scale, before, after, rates, slopes)
    in_kernels, *kernels = (jnp.sum(x, axis=0) for x in grown.kernels)
    tokens = _ratio_or(jnp.sum(grown.tokens, axis=0), features.num_tokens, 0.0)
    sequences = _ratio_or(jnp.sum(grown.sequences, axis=0), features.num_sequences, 0.0)
    return Prices(
        fixed=weigh(cost.limit(*start.total)),
        features=BatchFeatures(tokens + in_kernels, sequences, *kernels),
    )


def _in_halves(of_piece: Callable[..., _Found], *pieces) -> _Found:
    """`of_piece` for all pieces, worked out once.

    Half of them at a time, since what a loop returns is kept: XLA would else work out
    the parts anew for everything that is made of them, at five times the cost.
    """
    half = (len(jax.tree.leaves(pieces)[0]) + 1) // 2
    return jax.lax.map(lambda piece: of_piece(*piece), pieces, batch_size=half)


class _Parts(eqx.Module):
    """Latency and energy of each part at a point of the ray."""

    tokens: Cost
    sequences: Cost
    attention: Cost

    @staticmethod
    def at(
        share: Float[Array, ""], cost: AbstractIterationCost, features: BatchFeatures
    ) -> "_Parts":
        return _Parts(
            cost.token_part(share * features.num_tokens),
            cost.sequence_part(share * features.num_sequences),
            cost.attention_part(*(share * x for x in _kernel_features(features))),
        )

    @property
    def total(self) -> Cost:
        (t0, e0), (t1, e1), (t2, e2) = self.tokens, self.sequences, self.attention
        return t0 + t1 + t2, e0 + e1 + e2


class _ByCause(eqx.Module):
    """What the cost grows by, by cause."""

    tokens: Float[Array, "*batch"]  # all of them
    sequences: Float[Array, "*batch"]
    kernels: tuple[Float[Array, "*batch"], ...]  # for a unit of each feature in attention


def _rates(cost: AbstractIterationCost, weigh: Weigh, before: Cost, after: Cost) -> Cost:
    """What a second and a joule of the parts cost over a piece.

    The slopes of `limit` half-way, times how much more the cost really grows.
    """

    def priced(t: Float[Array, "*batch"], e: Float[Array, "*batch"]):
        return weigh(cost.limit(t, e))

    middle = [(low + high) / 2 for low, high in zip(before, after, strict=True)]
    value, pull = jax.vjp(priced, *middle)
    rates = pull(jnp.ones_like(value))
    more = _ratio_or(priced(*after) - priced(*before), _growth(rates, before, after), 1.0)
    return more * rates[0], more * rates[1]


def _slopes(
    cost: AbstractIterationCost,
    features: BatchFeatures,
    low: Float[Array, ""],
    high: Float[Array, ""],
    rates: Cost,
) -> list[Float[Array, "*batch"]]:
    """What a unit of each feature in attention costs over a piece."""
    middle = ((low + high) / 2 * x for x in _kernel_features(features))
    _, pull = jax.vjp(cost.attention_part, *middle)
    return [(high - low) * slope for slope in pull(rates)]


def _by_cause(
    features: BatchFeatures,
    scale: Float[Array, ""],
    before: _Parts,
    after: _Parts,
    rates: Cost,
    slopes: list[Float[Array, "*batch"]],
) -> _ByCause:
    """What the cost grows by over a piece of the ray, times `scale`."""
    # Attention grows by what it does; its slopes half-way say by which features.
    pairs = zip(_kernel_features(features), slopes, strict=True)
    guess = sum((x * slope for x, slope in pairs), jnp.zeros(()))
    more = _ratio_or(_growth(rates, before.attention, after.attention), guess, 1.0)
    return _ByCause(
        tokens=scale * _growth(rates, before.tokens, after.tokens),
        sequences=scale * _growth(rates, before.sequences, after.sequences),
        kernels=tuple(scale * more * slope for slope in slopes),
    )


def _growth(rates: Cost, low: Cost, high: Cost) -> Float[Array, "*batch"]:
    """What a part's growth from `low` to `high` costs."""
    return rates[0] * (high[0] - low[0]) + rates[1] * (high[1] - low[1])


def _kernel_features(f: BatchFeatures) -> tuple[Float[Array, "*batch"], ...]:
    return (
        f.num_tokens,
        f.prefill_pairs,
        f.prefill_kv,
        f.decode_tokens,
        f.decode_kv,
        f.decode_kv_sq,
    )


def _ratio_or(
    amount: Float[Array, "*batch"], whole: Float[Array, "*batch"], otherwise: float
) -> Float[Array, "*batch"]:
    """amount / whole, and `otherwise` where the whole is 0."""
    some = whole != 0
    return jnp.where(some, amount / jnp.where(some, whole, 1.0), otherwise)


def _ends(num_pieces: int) -> np.ndarray:
    """Ends of the pieces: almost 0 first, where kernels are in use but do nothing; 1."""
    steps = np.linspace(0.0, 1.0, num_pieces + 1)
    ends = np.expm1(_RAY_GRADING * steps) / np.expm1(_RAY_GRADING)
    ends[0] = _VANISHING
    return ends


def middles() -> Float[np.ndarray, " pieces"]:
    """How far along the ray, 0 to 1, the middle of each piece lies."""
    ends = _ends(_NUM_PIECES)
    return (ends[1:] + ends[:-1]) / 2
