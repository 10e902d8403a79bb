"""Methods that charge each iteration of the real run as it happens: O(I + R)."""

import jax
from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution, by_player
from carbjax._attribution.methods import register_method, require_run
from carbjax._attribution.per_iteration import EqualObserver, TokensObserver
from carbjax._attribution.streaming import StreamingObserver
from carbjax._games.base import AbstractGame
from carbjax._serving.observers import AbstractObserver, TotalsObserver
from carbjax._serving.serve import Timeline
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

    docs/streaming.md; Aumann and Shapley (1974). A player's requests in one batch are
    one participant. Cost: O(I + R). Keeps efficiency (up to a quadrature that closes to
    1e-9), symmetry within a batch, null player, and linearity over iterations.
    """
    workload, system = require_run("streaming", workload, system)
    each_its_own = workload.num_players == workload.num_requests
    num_tenants = None if each_its_own else workload.num_players
    observer = StreamingObserver(system.cost, system.footprint, num_tenants)
    return _charge("streaming", observer, workload, system)


def iteration_equal(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """Each iteration shared equally by the requests in it. Cost: O(I + R).

    Keeps efficiency, null player, and linearity over iterations; blind to lengths.
    """
    workload, system = require_run("iteration_equal", workload, system)
    observer = EqualObserver(system.footprint)
    return _charge("iteration_equal", observer, workload, system)


def iteration_tokens(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """Each iteration shared by tokens: those of a chunk, one for a decode. O(I + R).

    Keeps efficiency, null player, and linearity over iterations; blind to contexts.
    """
    workload, system = require_run("iteration_tokens", workload, system)
    observer = TokensObserver(system.footprint)
    return _charge("iteration_tokens", observer, workload, system)


def _charge(
    name: str, observer: AbstractObserver, workload: Workload, system: System
) -> Attribution:
    """What the observer charged each request in the run, by player."""
    observers = (TotalsObserver(system.footprint), observer)
    whole = run_whole(workload, system, observers, pad=True)
    totals, slots = whole.accounts[0].totals, whole.accounts[1].slots
    requests = jax.tree.map(whole.arrangement.to_workload_order, slots)
    shares = by_player(requests, workload.player, workload.num_players)
    return Attribution(name, shares, whole.standing, whole.standing + totals.emissions)


register_method("streaming", streaming, needs_game=False)
register_method("iteration_equal", iteration_equal, needs_game=False)
register_method("iteration_tokens", iteration_tokens, needs_game=False)
