"""Pairwise Shapley interaction: who shares with whom."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._attribution.by_blocks import index_of_game
from carbjax._attribution.indices import interaction_index
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame


def shapley_interactions(game: AbstractGame) -> Float[Array, "players players"]:
    """Shapley interaction index of each pair, gCO2e; on the diagonal Shapley values.

    `I_ij = sum over S without i, j of s! (n-s-2)! / (n-1)! (v(S i j) - v(S i) - v(S j) +
    v(S))`, Grabisch and Roubens (1999); the index of a single player is its Shapley
    value. Below 0, i and j save by being served together; above 0, they are in each
    other's way. Of a coalition T that is worth something only whole, each pair has
    1 / (|T| - 1). Cost: as `shapley`.

    Raises `InputError` for one player, and beyond 2^30 distinct coalitions, of the game
    or of a block.
    """
    if game.num_players < 2:
        raise InputError(
            "the game has one player.", hint="Interactions take at least two players."
        )
    return jnp.asarray(index_of_game(game, interaction_index).total)
