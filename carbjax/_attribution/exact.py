"""The Shapley value by enumeration of all coalitions."""

import jax
from jaxtyping import Array, Float

from carbjax._attribution.by_blocks import index_of_game
from carbjax._attribution.indices import shapley_index
from carbjax._carbon.emissions import Emissions
from carbjax._games.base import AbstractGame


def shapley(game: AbstractGame) -> Float[Array, " players"]:
    """Exact Shapley value of each player, gCO2e; the shares sum to v(all) - v(none).

    All 2^n coalitions are evaluated in chunks, on all devices, and the table is never
    held. Fewer are (docs/structure.md): players of one kind (equal requests) compress,
    so that with kinds of m_1, m_2, ... members only prod(m_k + 1) coalitions differ; and
    a `ServingGame` is taken apart into blocks that never share the server, if it has
    some.

    Raises `InputError` beyond 2^30 distinct coalitions, of the game or of a block.
    """
    return shapley_emissions(game).total


def shapley_emissions(game: AbstractGame) -> Emissions:
    """As `shapley`, by component: one pass attributes them all, for it is linear."""
    return jax.tree.map(jax.device_put, index_of_game(game, shapley_index))
