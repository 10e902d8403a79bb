"""Every method on one workload, beside the exact Shapley values of both games."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

import carbjax as cj

TRUTH = "shapley"
_DECIMALS = 7


class Judged(NamedTuple):
    """One method on one workload."""

    concurrency: float  # mean number of requests on the machine
    method: str
    distance: float  # relative, to the Shapley value of the reschedule game
    replay_distance: float  # relative, to that of the replay game


def judge(workload: cj.Workload, system: cj.System, methods: Iterable[str]) -> list[Judged]:
    """The methods' distances, `sum |share - truth| / sum truth`; rounded."""
    game, timeline = cj.ServingGame(workload, system), cj.serve(workload, system)
    registry = cj.methods()
    given = {"workload": workload, "system": system, "timeline": timeline}
    shares = {name: registry[name](game, **given).shares for name in methods}
    truth = shares.get(TRUTH)
    if truth is None:
        truth = registry[TRUTH](game, **given).shares
    replay = np.asarray(cj.shapley(cj.ReplayGame(workload, system)))
    together = timeline.residence_s.sum() / timeline.busy_s
    return [
        Judged(
            _rounded(together),
            name,
            *(_rounded(np.abs(found - to).sum() / truth.sum()) for to in (truth, replay)),
        )
        for name, found in shares.items()
    ]


def _rounded(number: float) -> float:
    return round(float(number), _DECIMALS)
