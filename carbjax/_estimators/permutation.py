"""The mean of players' marginals over orders of arrival: unbiased."""

import numpy as np

from carbjax._errors import InputError
from carbjax._estimators.orders import (
    Orders,
    random_orders,
    sobol_orders,
    with_reverses,
)
from carbjax._estimators.remainder import Draws, Remainder, Values
from carbjax._estimators.spread import stderr_of_mean

# Independent Sobol sequences: fewer leave the error unknown, more make each shorter.
_REPLICATES = 8
_MOST_SOBOL_DIMENSIONS = 21_201  # direction numbers of Joe and Kuo (2008)


def permutation(remainder: Remainder, budget: int, rng: np.random.Generator) -> Draws:
    """Independent orders: Castro, Gomez and Tejada (2009). n - 1 coalitions each."""
    count = (budget - 2) // (remainder.num_players - 1)
    marginals = _marginals(remainder, random_orders(remainder.num_players, count, rng))
    return Draws(marginals.mean(axis=0), stderr_of_mean(marginals))


def antithetic(remainder: Remainder, budget: int, rng: np.random.Generator) -> Draws:
    """Orders and their reverses; exact where players interact in pairs at most.

    Mitchell et al. (2022), section 3. 2 (n - 1) coalitions for both.
    """
    num_players = remainder.num_players
    count = (budget - 2) // (2 * (num_players - 1))
    orders = with_reverses(random_orders(num_players, count, rng))
    return _of_pairs(_marginals(remainder, orders))


def sobol(remainder: Remainder, budget: int, rng: np.random.Generator) -> Draws:
    """Orders from scrambled Sobol sequences, and their reverses.

    Mitchell et al. (2022). The sequence is cut into independently scrambled ones, whose
    spread is the standard error.
    """
    num_players = remainder.num_players
    if num_players - 1 > _MOST_SOBOL_DIMENSIONS:
        raise InputError(
            f"estimator 'sobol' takes at most {_MOST_SOBOL_DIMENSIONS + 1} players; the "
            f"game has {num_players}.",
            hint="Use estimator='antithetic'.",
        )
    count = (budget - 2) // (2 * (num_players - 1))
    replicates = min(count, _REPLICATES)
    length = count // replicates
    sequences = [sobol_orders(num_players, length, each) for each in rng.spawn(replicates)]
    orders = with_reverses(np.concatenate(sequences))
    marginals = _marginals(remainder, orders)
    if replicates == 1:
        return _of_pairs(marginals)
    means = marginals.reshape(replicates, -1, *marginals.shape[1:]).mean(axis=1)
    return Draws(means.mean(axis=0), stderr_of_mean(means))


def _of_pairs(marginals: Values) -> Draws:
    """The mean over orders of which each second one is the reverse of the one before.

    Of a single pair the two orders count as independent, which errs to the safe side
    unless players interact in large groups.
    """
    pairs = marginals.reshape(-1, 2, *marginals.shape[1:]).mean(axis=1)
    spread = stderr_of_mean(marginals if len(pairs) == 1 else pairs)
    return Draws(pairs.mean(axis=0), spread)


def _marginals(remainder: Remainder, orders: Orders) -> Values:
    """What each player adds to those before it, `"orders players 6"`."""
    count, num_players = orders.shape
    place = np.argsort(orders, axis=1)
    sizes = np.arange(1, num_players)[None, :, None]
    prefixes = place[:, None, :] < sizes
    inner = remainder.values(prefixes.reshape(-1, num_players))
    inner = inner.reshape(count, num_players - 1, -1)
    ends = np.broadcast_to(
        np.stack([remainder.nobody, remainder.everybody])[:, None, None],
        (2, count, 1, inner.shape[-1]),
    )
    steps = np.diff(np.concatenate([ends[0], inner, ends[1]], axis=1), axis=1)
    return np.take_along_axis(steps, place[:, :, None], axis=1)
