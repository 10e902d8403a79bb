"""Orders in which players may come."""

import numpy as np
from jaxtyping import Float, Int

Orders = Int[np.ndarray, "orders players"]


def random_orders(num_players: int, count: int, rng: np.random.Generator) -> Orders:
    """Independent orders, all equally likely."""
    one = np.tile(np.arange(num_players), (count, 1))
    return rng.permuted(one, axis=1)


def with_reverses(orders: Orders) -> Orders:
    """Each order followed by itself backwards."""
    both = np.stack([orders, orders[:, ::-1]], axis=1)
    return both.reshape(-1, orders.shape[1])


def sobol_orders(num_players: int, count: int, rng: np.random.Generator) -> Orders:
    """A scrambled Sobol sequence as orders; each alone is uniformly distributed.

    Orders are the cells of a sphere in n - 1 dimensions: a point of the sequence becomes
    a normal vector of the hyperplane of zero sum, and the order is that of its entries.
    Mitchell, Cooper, Frank and Holmes (2022), "Sampling permutations for Shapley value
    estimation", section 4, has the map; the points there are put on the sphere by angles.
    """
    from scipy.special import ndtri
    from scipy.stats import qmc

    sequence = qmc.Sobol(num_players - 1, scramble=True, rng=rng)
    drawn = sequence.random(1 << (count - 1).bit_length())[:count]
    tiny = np.finfo(float).eps
    normal = ndtri(np.clip(drawn, tiny, 1 - tiny))
    return np.argsort(normal @ _zero_sum_basis(num_players), axis=1, kind="stable")


def _zero_sum_basis(num_players: int) -> Float[np.ndarray, "players-1 players"]:
    """Orthonormal rows that each sum to 0 (Helmert)."""
    row = np.arange(1, num_players)[:, None]
    column = np.arange(num_players)[None, :]
    entries = np.where(column < row, 1.0, np.where(column == row, -row, 0.0))
    return entries / np.sqrt(row * (row + 1.0))
