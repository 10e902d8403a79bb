"""The one call that most users make."""

import dataclasses

from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.idle import IDLE_RULES, spread_idle
from carbjax._attribution.methods import find_method, needs_game
from carbjax._errors import InputError
from carbjax._games.many import require_finite
from carbjax._games.serving import ServingGame
from carbjax._serving.serve import serve
from carbjax._serving.system import System
from carbjax._workload import Workload


def attribute(
    workload: Workload,
    system: System,
    method: str = "streaming",
    idle: str = "unattributed",
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """Who of the workload's players is responsible for which grams.

    - `method`: a name of `carbjax.methods()`.
    - `idle`: what becomes of the emissions of the machine as such, v of the empty
      coalition: "unattributed", or spread by "equal", "usage" or "residence".
    - `key`: for methods that sample.

    `sum(shares) + unattributed = total`. Raises `InputError` and its kin.
    """
    if idle not in IDLE_RULES:
        raise InputError(
            f"there is no idle rule {idle!r}.", hint=f"Choose of {', '.join(IDLE_RULES)}."
        )
    charge = find_method(method)
    game = ServingGame(workload, system) if needs_game(method) else None
    timeline = serve(workload, system)
    attribution = charge(game, workload=workload, system=system, timeline=timeline, key=key)
    attribution = dataclasses.replace(
        attribution, flags=(*attribution.flags, *system.flags(workload))
    )
    require_finite(attribution.emissions)
    return spread_idle(
        attribution,
        idle,
        nobody=timeline.standing,
        workload=workload,
        timeline=timeline,
    )
