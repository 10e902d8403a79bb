"""The Shapley value estimated from a sample of coalitions."""

from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import AXIOMS, register_method, require_game
from carbjax._estimators.enumeration import num_distinct
from carbjax._estimators.estimate import estimate_shapley
from carbjax._games.base import AbstractGame
from carbjax._serving.serve import Timeline
from carbjax._serving.system import System
from carbjax._workload import Workload

_BUDGET_PER_PLAYER = 32
_LEAST_BUDGET = 256
_MOST_BUDGET = 8192  # unless the players are more than half as many
_ACCURACY = 0.01


def sampled(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """The Shapley value to a standard error of 1% of the mean share, if it can be had.

    `carbjax.estimate_shapley` with its defaults (docs/estimators.md): the formula of
    `shapley`, over a sample of coalitions. Source: Fumagalli et al. (2026), and
    Goldwasser and Hooker (2024) for the control. Cost: 32 values of v a player (at least
    256, at most 8192), fewer if that accuracy is reached before; if it is not, a flag
    says how far it came. Beyond v the cube of half that number.

    Keeps efficiency exactly, equal shares for interchangeable players, and symmetry,
    null player and linearity within `stderr`. Without `key` it is always the same sample.
    """
    game = require_game("sampled", game)
    budget = max(_LEAST_BUDGET, _BUDGET_PER_PLAYER * game.num_players)
    budget = max(min(budget, _MOST_BUDGET), 2 * game.num_players + 2)
    found = estimate_shapley(
        game,
        budget=min(budget, num_distinct(game.kinds)),
        accuracy=_ACCURACY,
        key=key,
    )
    return Attribution(
        "sampled", found.emissions, found.nobody, found.everybody, found.stderr, found.flags
    )


register_method("sampled", sampled, claims=AXIOMS, exact=False)
