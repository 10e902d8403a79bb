"""Rules that spread what the machine emits with nobody served, v of the empty coalition."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Float

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.proportional import residence_s
from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._serving.serve import Timeline
from carbjax._workload import Workload

IDLE_RULES = ("unattributed", "equal", "usage", "residence")


def spread_idle(
    attribution: Attribution,
    rule: str,
    *,
    nobody: Emissions,
    workload: Workload,
    timeline: Timeline | None = None,
) -> Attribution:
    """The attribution with v(none) spread over the players by a named rule.

    - `equal`: the same for each player that asked for anything.
    - `usage`: in proportion to what the method attributed (where positive).
    - `residence`: in proportion to time on the server; needs `timeline`.
    - `unattributed`: left with the provider.

    Raises `InputError` for another rule, or where the weights are all zero.
    """
    if rule == "unattributed":
        return attribution
    weights = _weights(attribution, rule, workload, timeline)
    total = weights.sum()
    if not total > 0:
        raise InputError(
            f"idle rule {rule!r} has nothing to go by: every weight is zero.",
            hint="Use `idle='equal'` or `idle='unattributed'`.",
        )
    spread = jax.tree.map(lambda x: float(x) * weights / total, nobody)
    return dataclasses.replace(
        attribution,
        emissions=attribution.emissions + spread,
        remainder=attribution.remainder - nobody,
        flags=(*attribution.flags, f"idle spread by {rule}"),
    )


def _weights(
    attribution: Attribution, rule: str, workload: Workload, timeline: Timeline | None
) -> Float[np.ndarray, " players"]:
    if rule == "usage":
        return np.maximum(attribution.shares, 0.0)
    if rule == "equal":
        used = np.bincount(workload.player, ~workload.is_null, workload.num_players)
        return (used > 0).astype(float)
    if rule == "residence":
        if timeline is None:
            raise InputError("idle rule 'residence' needs `timeline`.")
        return residence_s(workload, timeline)
    raise InputError(
        f"there is no idle rule {rule!r}.", hint=f"Choose of {', '.join(IDLE_RULES)}."
    )
