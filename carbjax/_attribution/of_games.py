"""Methods that ask a game for the values of coalitions."""

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution, sum_players
from carbjax._attribution.exact import shapley_emissions
from carbjax._attribution.methods import AXIOMS, register_method, require_game
from carbjax._carbon.emissions import Emissions
from carbjax._games.base import AbstractGame
from carbjax._games.many import components_of
from carbjax._serving.serve import Timeline
from carbjax._serving.system import System
from carbjax._workload import Workload


def exact_shapley(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """The Shapley value: a player's mean marginal contribution over all orders.

    `phi_i = sum over S without i of s! (C - s - 1)! / C! (v(S, i) - v(S))`, s the size of
    S. Source: Shapley (1953). Cost: v of all coalitions, 2^C for C players, fewer where
    requests are equal. Keeps all axioms: efficiency, symmetry, null player, linearity.
    """
    game = require_game("shapley", game)
    whole, nobody = _extremes(game)
    shares = shapley_emissions(game)
    return Attribution("shapley", shares, nobody, whole)


def leave_one_out(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """What would not have been emitted without the player: v(all) - v(all but i).

    Source: Li et al. (2025), section 4.2. Cost: C + 1 values of v. Keeps symmetry, null
    player and linearity, not efficiency: what the players do not add up to is
    unattributed.
    """
    game = require_game("leave_one_out", game)
    everybody = np.ones((1, game.num_players), bool)
    others = ~np.eye(game.num_players, dtype=bool)
    values = components_of(game, np.concatenate([everybody, others]))
    whole = jax.tree.map(lambda x: x[0], values)
    shares = jax.tree.map(lambda x: x[0] - x[1:], values)
    return Attribution("leave_one_out", shares, whole - sum_players(shares), whole)


def _extremes(game: AbstractGame) -> tuple[Emissions, Emissions]:
    """v of everybody and of nobody."""
    both = np.repeat([[True], [False]], game.num_players, axis=1)
    values = components_of(game, both)
    return jax.tree.map(lambda x: x[0], values), jax.tree.map(lambda x: x[1], values)


register_method("shapley", exact_shapley, claims=AXIOMS)
register_method(
    "leave_one_out", leave_one_out, claims=("symmetry", "null_player", "linearity")
)
