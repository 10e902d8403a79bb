"""Backends fed with requests as they come, on the host: what `lanes` runs on the device."""

import dataclasses as dc
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from carbjax._carbon.intensity import RelativeIntensity
from carbjax._errors import CarbjaxError, ConfigError
from carbjax._fleet.decode_prices import DecodePrices, require_even_skew
from carbjax._fleet.lanes import Slice, run_slice
from carbjax._fleet.seats import MOST_AT_ONCE, Row, Seats, Source, Spent, empty_seats
from carbjax._fleet.step_prices import Pricing
from carbjax._serving.engine import Server
from carbjax._serving.system import System

_FEW_SEATS = 32
_SPENT = tuple(field.name for field in dc.fields(Spent))


@dc.dataclass(frozen=True)
class Arrivals:
    """Requests that come to one backend, in order of arrival, without null players."""

    arrival_s: Float[np.ndarray, " requests"]  # on the fleet's clock
    prefill: Int[np.ndarray, " requests"]  # tokens
    decode: Int[np.ndarray, " requests"]

    def __len__(self) -> int:
        return len(self.arrival_s)

    def __getitem__(self, which: slice) -> "Arrivals":
        return Arrivals(self.arrival_s[which], self.prefill[which], self.decode[which])


@dc.dataclass(frozen=True)
class Served:
    """Requests that finished: of which lane, which of its requests, and what they spent."""

    lane: Int[np.ndarray, " requests"]
    row: Int[np.ndarray, " requests"]  # how many had come to the lane before
    spent: dict[str, Float[np.ndarray, " requests"]]  # by the names of `Spent`
    totals: dict[str, Float[np.ndarray, " lanes"]]  # of the iterations run, see `Totals`
    seated: dict[str, float]  # what has been charged to those not finished, all lanes


class Fleet:
    """Equal backends, a lane each, that serve what `serve` is given and remember the rest.

    64-bit floats are needed: clocks and sums run for as long as the traces do. With
    `market` requests' electricity is also counted at a second series of intensity, all
    changes of which must be changes of `intensity`.
    """

    def __init__(
        self,
        system: System,
        intensity: RelativeIntensity,
        num_lanes: int,
        *,
        num_rows: int = 1024,
        market: RelativeIntensity | None = None,
    ):
        if not jax.config.read("jax_enable_x64"):
            raise ConfigError(
                "a fleet is served in 64-bit floats.",
                hint="Enable them: `jax.config.update('jax_enable_x64', True)`.",
            )
        require_even_skew(system.cost)
        self._num_rows = num_rows
        self._caps = system.max_num_seqs
        self._server = Server(system.cost, system.caps, intensity, system.policy)
        self._pricing = _pricing(system)
        self._market = market
        self._counts = np.zeros((num_lanes, 4), np.int64)
        self._seats = self._empty(num_lanes, min(self._caps, _FEW_SEATS) + MOST_AT_ONCE)

    def _empty(self, num_lanes: int, num_seats: int) -> Seats:
        return empty_seats(num_seats, num_lanes, self._market is not None)

    @property
    def spent_names(self) -> tuple[str, ...]:
        """What is known of a request once it is served; see `Spent`."""
        return tuple(n for n in _SPENT if getattr(self._seats.spent, n) is not None)

    @property
    def num_lanes(self) -> int:
        return len(self._counts)

    @property
    def time_s(self) -> Float[np.ndarray, " lanes"]:
        """The lanes' clocks: the end of the last iteration."""
        return np.asarray(self._seats.progress.time)

    def serve(self, arrivals: Sequence[Arrivals], goes_on: Sequence[bool]) -> Served:
        """What finished while these requests came, one `Arrivals` a lane.

        A lane that `goes_on` runs no further than its last arrival decides; one that
        does not runs until all is served.
        """
        rest, parts = list(arrivals), []
        later = np.asarray(goes_on, bool)
        while True:
            now = [x[: self._num_rows] for x in rest]
            rest = [x[self._num_rows :] for x in rest]
            more = later | np.array([len(x) > 0 for x in rest])
            parts += self._serve(now, more)
            if not any(len(x) for x in rest):
                return self._join(parts)

    def _serve(self, arrivals: list[Arrivals], goes_on: np.ndarray) -> list[Slice]:
        """Slices until all these requests have had a seat."""
        rows = np.zeros((self.num_lanes, self._num_rows + MOST_AT_ONCE, len(Row._fields)))
        num_rows = np.array([len(x) for x in arrivals])
        for lane, requests in enumerate(arrivals):
            rows[lane, : len(requests)] = self._queue_up(lane, requests)
        found = []
        while True:
            source = Source(*(jnp.asarray(x) for x in (rows, num_rows, goes_on)))
            done = run_slice(source, self._seats, self._server, self._pricing, self._market)
            self._seats = done.seats
            found.append(done)
            self._require_clock()
            place = np.asarray(done.place)
            if (place == num_rows).all():
                return found
            self._add_seats()
            rows = np.stack([np.roll(x, -n, axis=0) for x, n in zip(rows, place)])
            num_rows = num_rows - place

    def _queue_up(self, lane: int, requests: Arrivals) -> np.ndarray:
        """The requests as rows, with the sums that the queue's order needs."""
        p, d = requests.prefill.astype(np.int64), requests.decode.astype(np.int64)
        each = np.stack([np.ones_like(p), p, p + d, np.maximum(p, 1)], axis=1)
        sums = self._counts[lane] + np.cumsum(each, axis=0)
        if len(sums):
            self._counts[lane] = sums[-1]
        return np.column_stack([requests.arrival_s, p, d, sums])  # the columns of `Row`

    def _require_clock(self) -> None:
        lost = np.flatnonzero(~np.isfinite(self.time_s))
        if len(lost):
            raise CarbjaxError(
                f"the clock of backend {lost[0]} of the group stopped: an iteration's "
                "latency is not finite, or a request is larger than the KV capacity."
            )

    def _add_seats(self) -> None:
        """Twice the seats: those there are hold running requests alone."""
        old = len(self._seats.row)
        new = min(2 * old, self._caps + MOST_AT_ONCE)
        if new == old:
            raise CarbjaxError("a lane cannot go on, and has all the seats it may need.")
        blank = self._empty(self.num_lanes, new - old)

        def append(seats, more):
            return seats if seats.ndim < 2 else jnp.concatenate([seats, more])

        self._seats = jax.tree.map(append, self._seats, blank)

    def _join(self, parts: list[Slice]) -> Served:
        rows = [_finished(part) for part in parts]
        lane, columns = (np.concatenate(x) for x in zip(*rows, strict=True))
        row = columns[:, 0].astype(np.int64)
        order = np.lexsort((row, lane))
        spent = {n: columns[order, 1 + i] for i, n in enumerate(self.spent_names)}
        names = [field.name for field in dc.fields(parts[0].totals)]
        names = [n for n in names if getattr(parts[0].totals, n) is not None]
        totals = {
            name: np.sum([np.asarray(getattr(p.totals, name)) for p in parts], axis=0)
            for name in names
        }
        return Served(lane[order], row[order], spent, totals, self.seated())

    def seated(self) -> dict[str, float]:
        """What has been charged so far to requests that have not left, over all lanes."""
        here = np.asarray(self._seats.row) >= 0
        return {
            name: float(np.asarray(getattr(self._seats.spent, name))[here].sum())
            for name in self.spent_names
            if not name.endswith("_s")
        }

    def state(self) -> list[np.ndarray]:
        """All that the fleet remembers, to be given to `restore`."""
        return [self._counts.copy(), *(np.asarray(x) for x in jax.tree.leaves(self._seats))]

    def restore(self, state: Sequence[np.ndarray]) -> None:
        """Nothing; the fleet stands where it stood when `state` was taken."""
        self._counts = np.array(state[0])
        shape: Seats = self._seats
        leaves = [jnp.asarray(x) for x in state[1:]]
        self._seats = jax.tree.unflatten(jax.tree.structure(shape), leaves)


def _finished(part: Slice) -> tuple[np.ndarray, np.ndarray]:
    """Lane and row of each request that left."""
    count = np.asarray(part.finished.count)
    rows = np.asarray(part.finished.rows)
    left = np.arange(rows.shape[1]) < count[:, None]
    return np.nonzero(left)[0], rows[left]


def _pricing(system: System) -> Pricing:
    rates = system.footprint.rates
    with_latency = system.provisioning == "on_demand"
    table = DecodePrices.of(
        system.cost,
        rates,
        most_decodes=system.max_num_seqs,
        most_kv=system.kv_capacity_tokens,
        with_latency=with_latency,
    )
    return Pricing(system.cost, rates, table, with_latency)
