"""Arrays filled up to one of few sizes, so that few of them are compiled."""

from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Array, Bool

from carbjax._games.lattice import AnyArray
from carbjax._serving.buckets import num_slots, power_of_two

_FEWEST_PLAYERS = 16
_FEWEST_VALUES = 256

Tree = TypeVar("Tree")


def num_seats(num_players: int) -> int:
    """The players of a padded game: 16, or a power of two."""
    return power_of_two(num_players, least=_FEWEST_PLAYERS)


def fill(array: AnyArray, length: int) -> Array:
    """The array with zeros behind it along its first axis."""
    host = np.asarray(array)
    extra = [(0, length - len(host)), *[(0, 0)] * (host.ndim - 1)]
    return jax.device_put(np.pad(host, extra))


def fill_requests(requests: tuple[Array, ...]) -> tuple[Array, Array, Array, Array]:
    """Arrivals, tokens and players of requests, with more that ask for nothing.

    They come last and belong to the first player.
    """
    arrival, *others = map(np.asarray, requests)
    slots = num_slots(len(arrival))
    late = np.pad(arrival, (0, slots - len(arrival)), mode="edge")
    prefill, decode, player = (fill(x, slots) for x in others)
    return jax.device_put(late), prefill, decode, player


def fill_table(values: AnyArray) -> Array:
    """All 2^n values of a game, with zeros behind the few of a small one."""
    return fill(values, max(len(values), _FEWEST_VALUES))


def fill_tree(tree: Tree, length: int) -> Tree:
    """All arrays of the tree, filled with zeros along their first axes."""
    return jax.tree.map(lambda x: fill(x, length), tree)


def widen(
    coalitions: Bool[np.ndarray, "coalitions players"], num_players: int
) -> Bool[np.ndarray, "coalitions seats"]:
    """The coalitions among `num_players` players, the additional ones absent."""
    extra = num_players - coalitions.shape[1]
    return np.pad(np.asarray(coalitions, bool), ((0, 0), (0, extra)))
