"""The one call that most users make."""

import dataclasses

from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.idle import IDLE_RULES, spread_idle
from carbjax._attribution.methods import Entry, find_entry
from carbjax._errors import InputError
from carbjax._games.many import require_finite
from carbjax._games.serving import ServingGame
from carbjax._serving.serve import Timeline, serve
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
    attribution, timeline = _charge(find_entry(method), workload, system, key)
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


def _charge(
    entry: Entry, workload: Workload, system: System, key: PRNGKeyArray | None
) -> tuple[Attribution, Timeline]:
    """What the method says, and the timeline, of the same run where it makes one."""
    if entry.of_run is not None:
        return entry.of_run(workload, system)
    game = ServingGame(workload, system) if entry.needs_game else None
    timeline = serve(workload, system)
    attribution = entry.method(
        game, workload=workload, system=system, timeline=timeline, key=key
    )
    return attribution, timeline
