"""The Banzhaf value: all coalitions of the others equally likely."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._attribution.by_blocks import index_of_game
from carbjax._attribution.indices import banzhaf_index
from carbjax._games.base import AbstractGame


def banzhaf(game: AbstractGame) -> Float[Array, " players"]:
    """Banzhaf value of each player, gCO2e: the mean of `v(S with i) - v(S)`.

    Over all 2^(n-1) coalitions S of the others, each equally likely; the Shapley value
    makes each *size* equally likely. Keeps symmetry, null player and linearity, not
    efficiency: the values need not add up to v(all) - v(none). Banzhaf (1965). Cost: as
    `shapley`.

    Raises `InputError` beyond 2^30 distinct coalitions, of the game or of a block.
    """
    return jnp.asarray(index_of_game(game, banzhaf_index).total)
