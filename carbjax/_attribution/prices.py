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

# Pieces of the ray, graded towards the empty batch by e^5: a kernel's cost bends where
# its launch gives way to its work, often at a small part of the batch.
_NUM_PIECES = 32
_RAY_GRADING = 5.0
_VANISHING = 1e-20  # of the batch: where a kernel in use costs its launch alone

Weigh = Callable[[Cost], Float[Array, "*batch"]]
"""Latency (s) and energy (J) to the quantity that is priced: linear in both."""


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
    in_turn: bool = False,
) -> Prices:
    """Aumann-Shapley prices of the batch, and the fixed part c(0+), elementwise.

    The ray is cut into pieces, and what is shared out of each is what the cost really
    grows by over it, so the prices add up to the cost whatever the number of pieces;
    that only says how fine the parts are told apart (docs/streaming.md). Each piece's
    part is multiplied by its one of `factors`. Pieces `in_turn` are quicker for hundreds
    of batches, all at once for a few.
    """
    ends = _ends(num_pieces)
    like = features.num_tokens.dtype
    scale = np.ones(num_pieces) if factors is None else factors
    low, high, scale = (jnp.asarray(x, like) for x in (ends[:-1], ends[1:], scale))
    start = _Parts.at(low[0], cost, features)
    fixed = weigh(cost.limit(*start.total))

    def grow(before: _Parts, after: _Parts, piece) -> _Grown:
        more = _piece(cost, weigh, features, piece[:2], before, after)
        return jax.tree.map(lambda x: piece[2] * x, more)

    if in_turn:
        grown = _add_in_turn(cost, features, grow, start, (low, high, scale))
    else:
        after = jax.vmap(lambda end: _Parts.at(end, cost, features))(high)
        before = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:-1]]), start, after)
        each = jax.vmap(grow)(before, after, (low, high, scale))
        grown = jax.tree.map(lambda x: jnp.sum(x, axis=0), each)
    in_kernels, *kernels = grown.kernels
    tokens = _ratio_or(grown.tokens, features.num_tokens, 0.0)
    sequences = _ratio_or(grown.sequences, features.num_sequences, 0.0)
    return Prices(fixed, BatchFeatures(tokens + in_kernels, sequences, *kernels))


def _add_in_turn(cost, features: BatchFeatures, grow, start: "_Parts", pieces) -> "_Grown":
    """The sum over the pieces, in a loop: all at once XLA would repeat the parts."""

    def add(carry: tuple[_Parts, _Grown], piece) -> tuple[tuple[_Parts, _Grown], None]:
        before, grown = carry
        after = _Parts.at(piece[1], cost, features)
        more = grow(before, after, piece)
        return (after, jax.tree.map(lambda a, b: a + b, grown, more)), None

    none = jnp.zeros_like(start.total[0])
    nothing = _Grown(none, none, (none,) * len(_kernel_features(features)))
    (_, grown), _ = jax.lax.scan(add, (start, nothing), pieces)
    return grown


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


class _Grown(eqx.Module):
    """What the cost has grown by along the ray, by cause."""

    tokens: Float[Array, "*batch"]  # all of them
    sequences: Float[Array, "*batch"]
    kernels: tuple[Float[Array, "*batch"], ...]  # for a unit of each feature in attention


def _piece(
    cost: AbstractIterationCost,
    weigh: Weigh,
    features: BatchFeatures,
    piece: tuple[Float[Array, ""], Float[Array, ""]],
    before: _Parts,
    after: _Parts,
) -> _Grown:
    """What the cost grows by over a piece of the ray."""
    of_latency, of_energy = _rates(cost, weigh, before.total, after.total)

    def growth(low: Cost, high: Cost) -> Float[Array, "*batch"]:
        return of_latency * (high[0] - low[0]) + of_energy * (high[1] - low[1])

    low, high = piece
    point = _kernel_features(features)
    # Attention grows by what it does; its gradient half-way says by which features.
    _, pull = jax.vjp(cost.attention_part, *((low + high) / 2 * x for x in point))
    gradient = [(high - low) * g for g in pull((of_latency, of_energy))]
    guess = sum((x * g for x, g in zip(point, gradient, strict=True)), jnp.zeros(()))
    more = _ratio_or(growth(before.attention, after.attention), guess, 1.0)
    return _Grown(
        tokens=growth(before.tokens, after.tokens),
        sequences=growth(before.sequences, after.sequences),
        kernels=tuple(more * g for g in gradient),
    )


def _rates(
    cost: AbstractIterationCost, weigh: Weigh, before: Cost, after: Cost
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """What a second and a joule of the parts cost over a piece.

    The slopes of `limit` half-way, times how much more the cost really grows.
    """

    def priced(t: Float[Array, "*batch"], e: Float[Array, "*batch"]):
        return weigh(cost.limit(t, e))

    middle = [(low + high) / 2 for low, high in zip(before, after, strict=True)]
    value, pull = jax.vjp(priced, *middle)
    of_latency, of_energy = pull(jnp.ones_like(value))
    guess = of_latency * (after[0] - before[0]) + of_energy * (after[1] - before[1])
    more = _ratio_or(priced(*after) - priced(*before), guess, 1.0)
    return more * of_latency, more * of_energy


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
