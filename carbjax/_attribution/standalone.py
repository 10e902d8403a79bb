"""Shares in proportion to what each player would emit if served alone."""

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import register_method, require_game
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame
from carbjax._games.many import components_of
from carbjax._serving.serve import Timeline
from carbjax._serving.system import System
from carbjax._workload import Workload


def standalone(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """v(all) - v(none) in proportion to `v({i}) - v(none)`, every component alike.

    Source: proportional rules of cost sharing, as in Moriarity (1975), "Another approach
    to allocating joint costs". Cost: C + 2 values of v. Keeps efficiency, equal pay for
    players that are equal alone, and null player; not linearity. What players save by
    sharing goes to each in the same proportion, whoever brought it about.

    Raises `InputError` where what players emit alone adds up to nothing.
    """
    game = require_game("standalone", game)
    num_players = game.num_players
    alone = np.eye(num_players, dtype=bool)
    both = np.repeat([[True], [False]], num_players, axis=1)
    values = components_of(game, np.concatenate([both, alone]))
    whole, nobody = (jax.tree.map(lambda x: x[i], values) for i in range(2))
    weights = np.asarray(values.total[2:] - nobody.total, float)
    if not abs(weights.sum()) > 0:
        raise InputError(
            "method 'standalone' has nothing to go by: what the players emit alone adds "
            "up to 0.",
            hint="Use another method, such as `method='shapley'`.",
        )
    part = weights / weights.sum()
    shares = jax.tree.map(lambda x: float(x) * part, whole - nobody)
    return Attribution("standalone", shares, nobody, whole)


register_method("standalone", standalone, claims=("efficiency", "symmetry", "null_player"))
