"""Streaming, corrected for how the schedule would have been without each player."""

import numpy as np
from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import register_method, require_run
from carbjax._attribution.of_runs import charge_run
from carbjax._attribution.retimed_absences import absence_shares
from carbjax._estimators.columns import Columns, to_columns, to_emissions
from carbjax._games.base import AbstractGame
from carbjax._games.serving import ServingGame
from carbjax._serving.serve import Timeline
from carbjax._serving.system import System
from carbjax._workload import Workload


def retimed(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """The mean field of a schedule that each absence re-times.

    The Shapley value of `F(S) + sum over m not in S of (F_m(S) - F(S without m))` at
    streaming's prices: F(S) is what the tokens of S emit in the iterations that ran, and
    F_m in those that run where m does not come. To first order in absences that is the
    reschedule game, and where nobody or one player is absent it is exactly that.

    Source: `streaming` (Aumann and Shapley 1974), the correction is carbjax's
    (docs/retimed.md). Cost: 2 C + 1 runs of the engine, whose steps are priced. Keeps
    efficiency (as `streaming`), null player, and symmetry of interchangeable players (one
    request each, equal, next to each other in the queue), whose mean is taken; for that
    mean not linearity.
    """
    workload, system = require_run("retimed", workload, system)
    serving = game if isinstance(game, ServingGame) else ServingGame(workload, system)
    return _correct(serving, charge_run("streaming", workload, system)[0])


def _of_run(workload: Workload, system: System) -> tuple[Attribution, Timeline]:
    """As `retimed`, with the timeline of the run that is corrected."""
    first, timeline = charge_run("streaming", workload, system)
    return _correct(ServingGame(workload, system), first), timeline


def _correct(game: ServingGame, first: Attribution) -> Attribution:
    """Streaming's shares, and what the absences of all players add to them."""
    shares = to_columns(first.emissions) + absence_shares(game)
    equal = to_emissions(_mean_of_kind(shares, game.kinds))
    return Attribution("retimed", equal, first.remainder, first.whole)


def _mean_of_kind(shares: Columns, kinds: tuple[int, ...]) -> Columns:
    """Interchangeable players share alike what they bear together."""
    kind = np.asarray(kinds)
    sums = np.zeros((kind.max() + 1, shares.shape[1]))
    np.add.at(sums, kind, shares)
    return (sums / np.maximum(np.bincount(kind), 1)[:, None])[kind]


register_method(
    "retimed",
    retimed,
    needs_game=False,
    claims=("efficiency", "symmetry", "null_player"),
    of_run=_of_run,
)
