"""Shapley values as the additive game nearest to v, from a sample of pairs."""

import numpy as np
from jaxtyping import Float

from carbjax._estimators.odd import signs
from carbjax._estimators.pairs import Pairs, allot, draw_pairs, num_pairs, sizes_of
from carbjax._estimators.remainder import Draws, Remainder, Values
from carbjax._estimators.spread import steady_variance

_LEAST_FREEDOM = 1e-6  # of a residual whose row the fit meets by itself


def kernel_shap(remainder: Remainder, budget: int, rng: np.random.Generator) -> Draws:
    """Sizes drawn as often as they weigh: Lundberg and Lee (2017), with pairs as in
    Covert and Lee (2021)."""
    sizes = np.array(sizes_of(remainder.num_players))
    weight = 1 / (sizes * (remainder.num_players - sizes))
    return _regress(remainder, budget, weight, rng)


def leverage_shap(remainder: Remainder, budget: int, rng: np.random.Generator) -> Draws:
    """Sizes drawn equally often, which are the leverage scores: Musco and Witter (2025)."""
    return _regress(remainder, budget, np.ones(len(sizes_of(remainder.num_players))), rng)


def _regress(
    remainder: Remainder,
    budget: int,
    wanted: Float[np.ndarray, " sizes"],
    rng: np.random.Generator,
) -> Draws:
    """Weighted least squares of which the constraint is met exactly, by projection.

    Consistent, and nearly unbiased once there are several pairs a player. Pairs of a size
    are drawn without replacement. Standard errors by residuals as if left out (HC3), times
    the part of each size that was not drawn.
    """
    num_players = remainder.num_players
    counts = allot(num_players, (budget - 2) // 2, wanted)
    pairs = draw_pairs(num_players, counts, rng)
    rows, equal = signs(pairs.coalitions), remainder.worth / (2 * num_players)
    mean = rows.mean(axis=1, keepdims=True)
    root, undrawn = _weights(num_players, pairs, counts)
    design = root[:, None] * (rows - mean)
    target = root[:, None] * (
        remainder.odd(pairs.coalitions) - rows.sum(1)[:, None] * equal
    )
    inverse = np.linalg.pinv(design)
    found = inverse @ target
    residual = target - design @ found
    freedom = np.maximum(1 - (design * inverse.T).sum(axis=1), _LEAST_FREEDOM)
    variance = _sandwich(inverse, residual / freedom[:, None], undrawn)
    steady = steady_variance(variance, max(len(rows) - num_players + 1, 1))
    return Draws(2 * (equal + found), 2 * np.sqrt(steady))


def _weights(
    num_players: int, pairs: Pairs, counts: np.ndarray
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Root of each pair's weight, and the part of its size that was not drawn."""
    drawn = counts[pairs.size - 1]
    halves = np.where(2 * pairs.size == num_players, 1, 2)
    weight = halves / (pairs.size * (num_players - pairs.size) * drawn)
    part = [c / num_pairs(num_players, s) for s, c in zip(sizes_of(num_players), counts)]
    return np.sqrt(weight), 1 - np.array(part)[pairs.size - 1]


def _sandwich(
    inverse: Float[np.ndarray, "players pairs"],
    residual: Values,
    undrawn: Float[np.ndarray, " pairs"],
) -> Values:
    return inverse**2 @ (residual**2 * undrawn[:, None])
