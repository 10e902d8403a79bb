"""Methods that charge each iteration of the real run as it happens: O(I + R)."""

import functools as ft

import jax
from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution, by_player
from carbjax._attribution.methods import register_method, require_run
from carbjax._attribution.per_iteration import EqualObserver, TokensObserver
from carbjax._attribution.streaming import StreamingObserver
from carbjax._games.base import AbstractGame
from carbjax._serving.buckets import power_of
from carbjax._serving.observers import AbstractObserver
from carbjax._serving.serve import Timeline, timeline_observers, timeline_of
from carbjax._serving.system import System
from carbjax._serving.whole import run_whole
from carbjax._workload import Workload


def streaming(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """Aumann-Shapley prices of each iteration's tokens, its fixed part shared equally.

    `phi_i = sum_j c_j(0+) / b_j + z_ij . int_0^1 grad c_j(t z_j) dt` over the iterations
    j in which i takes part: c_j what the iteration emits, z_ij the tokens that i brings,
    b_j the participants (docs/streaming.md). A player's requests in one batch are one
    participant.

    Source: Aumann and Shapley (1974). Cost: O(I + R), whatever C and t. Keeps efficiency
    (to rounding), null player, linearity, and symmetry within a batch: equal requests
    that are not served together may differ.
    """
    workload, system = require_run("streaming", workload, system)
    return charge_run("streaming", workload, system)[0]


def iteration_equal(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """Each iteration shared equally by the requests in it.

    `phi_i = sum_j c_j / b_j` over the iterations j in which i takes part, c_j what the
    iteration emits and b_j its requests. Source: a common baseline. Cost: O(I + R). Keeps
    efficiency, null player and linearity, and symmetry within a batch; blind to lengths.
    """
    workload, system = require_run("iteration_equal", workload, system)
    return charge_run("iteration_equal", workload, system)[0]


def iteration_tokens(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """Each iteration shared by tokens: those of a chunk, one for a decode.

    `phi_i = sum_j c_j n_ij / n_j`, n_ij the tokens that i brings to iteration j. Source:
    a common baseline. Cost: O(I + R). Keeps efficiency, null player and linearity, and
    symmetry within a batch; blind to contexts.
    """
    workload, system = require_run("iteration_tokens", workload, system)
    return charge_run("iteration_tokens", workload, system)[0]


def run_observer(name: str, workload: Workload, system: System) -> AbstractObserver | None:
    """What charges each request as it runs by the method `name`; None for other methods."""
    make = _OBSERVERS.get(name)
    return None if make is None else make(workload, system)


def _streaming_observer(workload: Workload, system: System) -> AbstractObserver:
    each_its_own = workload.num_players == workload.num_requests
    num_tenants = None if each_its_own else power_of(16, workload.num_players, least=16)
    return StreamingObserver(system.cost, system.footprint, num_tenants)


_OBSERVERS = {
    "streaming": _streaming_observer,
    "iteration_equal": lambda workload, system: EqualObserver(system.footprint),
    "iteration_tokens": lambda workload, system: TokensObserver(system.footprint),
}


def charge_run(
    name: str, workload: Workload, system: System
) -> tuple[Attribution, Timeline]:
    """What the method's observer charged each player in a run, and the run's timeline."""
    observers = (*timeline_observers(system), _OBSERVERS[name](workload, system))
    whole = run_whole(workload, system, observers, pad=True)
    timeline = timeline_of(workload, whole)
    requests = jax.tree.map(whole.arrangement.to_workload_order, whole.accounts[-1].slots)
    shares = by_player(requests, workload.player, workload.num_players)
    return Attribution(name, shares, timeline.standing, timeline.emissions), timeline


for _name, _method in (
    ("streaming", streaming),
    ("iteration_equal", iteration_equal),
    ("iteration_tokens", iteration_tokens),
):
    register_method(
        _name,
        _method,
        needs_game=False,
        claims=("efficiency", "null_player", "linearity"),
        of_run=ft.partial(charge_run, _name),
    )
