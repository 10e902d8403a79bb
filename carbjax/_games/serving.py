"""The reschedule game: the scheduler is run again for each coalition. The ground truth."""

import copy

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from carbjax._carbon.emissions import Emissions
from carbjax._carbon.footprint import Footprint
from carbjax._errors import WorkloadError
from carbjax._games.base import AbstractGame
from carbjax._games.padding import fill_requests, num_seats
from carbjax._serving.engine import Server
from carbjax._serving.observers import TotalsObserver
from carbjax._serving.queue import make_queue
from carbjax._serving.run import run
from carbjax._serving.serve import timeline_observers
from carbjax._serving.system import System
from carbjax._serving.whole import run_whole
from carbjax._units import SECONDS_PER_HOUR
from carbjax._workload import Workload

# A coalition may end later than everybody together, but not this many times later.
_LATEST_END = 3.0


class ServingGame(AbstractGame):
    """v(S): gCO2e of serving only the requests of the players in S on `system`.

    With `always_on` provisioning the window is fixed: from the first request's arrival
    to the end of the grand coalition's run, or `window_s` = (start, end) on the
    arrivals' clock. What the machine emits over it with nobody served is v of the empty
    coalition (docs/semantics.md).
    """

    arrival: Float[Array, " requests"]
    prefill: Int[Array, " requests"]
    decode: Int[Array, " requests"]
    player: Int[Array, " requests"]
    server: Server
    footprint: Footprint
    window: Float[Array, "2"]  # s, on the engine's clock
    size: int = eqx.field(static=True)
    kind: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        workload: Workload,
        system: System,
        *,
        window_s: tuple[float, float] | None = None,
    ):
        # Looked at as `serve` does, whose compiled program this is then.
        whole = run_whole(workload, system, timeline_observers(system), pad=True)
        arrangement, zero_s = whole.arrangement, whole.arrangement.zero_s
        self.footprint = system.footprint
        start, end = window_s or (zero_s, zero_s + whole.end)
        _require_window(start, end, zero_s)
        system.require_cover(workload, start, end)
        until = max(end, zero_s + _LATEST_END * whole.end + SECONDS_PER_HOUR)
        intensity = system.intensity_from(workload, zero_s, until, from_s=start)
        self.server = eqx.tree_at(lambda s: s.intensity, whole.server, intensity)
        self.window = jnp.asarray([start - zero_s, end - zero_s])
        self.arrival, self.prefill, self.decode, self.player = arrangement.requests
        self.size = workload.num_players
        self.kind = _kinds(workload, arrangement.order)

    @property
    def num_players(self) -> int:
        return self.size

    @property
    def kinds(self) -> tuple[int, ...]:
        return self.kind

    def padded(self) -> "ServingGame":
        """The same game with requests that ask for nothing, and players who send none."""
        game, seats = copy.copy(self), num_seats(self.size)
        columns = "arrival", "prefill", "decode", "player"
        filled = fill_requests(tuple(getattr(self, name) for name in columns))
        static = {"size": seats, "kind": tuple(range(seats))}
        for name, value in (*zip(columns, filled, strict=True), *static.items()):
            object.__setattr__(game, name, value)
        return game

    def components(self, coalition: Bool[Array, " players"]) -> Emissions:
        """v by component of serving only `coalition`; under `vmap` runs are lanes."""
        arrays, static = eqx.partition(self, eqx.is_array)

        def served(arrays, coalition):
            return _served(eqx.combine(arrays, static), coalition)

        either = jax.custom_batching.custom_vmap(served)

        @either.def_vmap
        def of_many(size, batched, arrays, coalitions):
            if batched[1] and not any(jax.tree.leaves(batched[0])):
                found = served(arrays, coalitions.T)  # coalitions of one game: as lanes
            else:
                axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, batched)
                found = jax.vmap(served, axes, axis_size=size)(arrays, coalitions)
            return found, jax.tree.map(lambda _: True, found)

        return either(arrays, coalition)

    @property
    def standing(self) -> Emissions:
        """v of the empty coalition, by component."""
        start, end = self.window[0], self.window[1]
        return self.footprint.standing(start, end, self.server.intensity)


def _served(game: ServingGame, coalition: Bool[Array, "players *lanes"]) -> Emissions:
    """v by component of serving only `coalition`, or those of many in lockstep."""
    present = coalition[game.player]

    def by_slot(x: Array) -> Array:
        return x.reshape(-1, *(1 for _ in present.shape[1:]))

    queue = make_queue(present, *map(by_slot, (game.arrival, game.prefill, game.decode)))
    _, (account,) = run(queue, game.server, (TotalsObserver(game.footprint),))
    return game.standing + account.totals.emissions


def _require_window(start: float, end: float, first_arrival: float) -> None:
    if not start < end or start > first_arrival:
        raise WorkloadError(
            f"`window_s` runs from {start} s to {end} s, and the first request arrives at "
            f"{first_arrival} s.",
            hint="Give (start, end) in seconds, the start not after the first arrival.",
        )


def _kinds(workload: Workload, order: np.ndarray) -> tuple[int, ...]:
    """Interchangeable players: one request each, equal, and next to each other in order.

    With another request between them in the queue, equal requests are not
    interchangeable: leaving out the one before it or the one after it differs.
    """
    size = workload.num_players
    if size != workload.num_requests:
        return tuple(range(size))
    columns = (
        workload.arrival_s,
        workload.num_prefill_tokens,
        workload.num_decode_tokens,
    )
    rows = np.stack(columns, axis=1)[order]
    new_kind = np.r_[True, (np.diff(rows, axis=0) != 0).any(axis=1)]
    kind = np.empty(size, int)
    kind[workload.player[order]] = np.cumsum(new_kind) - 1
    return tuple(kind.tolist())
