"""A backend's requests through few seats, carried from slice to slice of its trace."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from carbjax._serving.engine import Progress, active, waiting
from carbjax._serving.queue import Queue

MOST_AT_ONCE = 8
"""Requests that leave, and that come, after a block of steps."""


class Source(eqx.Module):
    """The next requests of each backend in order of arrival, without null players.

    `rows` holds the columns of `Row`, for at least `MOST_AT_ONCE` more requests than
    there are: the rest is padding. Sums are inclusive, since the backend's counts began.
    """

    rows: Float[Array, "lanes rows columns"]
    num_rows: Int[Array, " lanes"]
    goes_on: Bool[Array, " lanes"]  # whether a later slice has more


class Row(NamedTuple):
    """A request: arrival (s), tokens, and sums over the queue up to it."""

    arrival: Array
    prefill: Array
    decode: Array
    order_count: Array
    order_prefill: Array
    order_reservation: Array
    order_need: Array


class Spent(eqx.Module):
    """What has been charged to a request, and when it was served.

    `market_g` is what its electricity emits at a second series of intensity, if asked for.
    """

    prefill_j: Float[Array, "seats lanes"]  # electricity at the site
    decode_j: Float[Array, "seats lanes"]
    prefill_g: Float[Array, "seats lanes"]
    decode_g: Float[Array, "seats lanes"]
    embodied_g: Float[Array, "seats lanes"]
    start_s: Float[Array, "seats lanes"]
    first_token_s: Float[Array, "seats lanes"]
    finish_s: Float[Array, "seats lanes"]
    market_g: Float[Array, "seats lanes"] | None


class Seats(eqx.Module):
    """The requests of each backend that wait or run, and where the backend stands.

    Lanes are the last axis, so that sums over seats are sums of vectors.
    """

    queue: Queue  # "seats lanes"
    row: Int[Array, "seats lanes"]  # place in the backend's trace; -1 where nobody sits
    progress: Progress
    spent: Spent
    starved: Bool[Array, " lanes"]  # what happens next hangs on a request without a seat


class Finished(eqx.Module):
    """Requests that left, in the order in which they did, and how many they are.

    `rows` holds the place in the backend's trace and the columns of `Spent`.
    """

    rows: Float[Array, "lanes rows columns"]
    count: Int[Array, " lanes"]


def nobody(shape: tuple[int, int], with_market: bool) -> Spent:
    """Nothing spent, never served; `shape` is of seats and lanes."""
    zero, never = jnp.zeros(shape), jnp.full(shape, jnp.nan, float)
    market = zero if with_market else None
    return Spent(zero, zero, zero, zero, zero, never, never, never, market)


def empty_seats(num_seats: int, num_lanes: int, with_market: bool) -> Seats:
    """Backends to which nobody has come yet, their clocks at 0."""
    shape = num_seats, num_lanes
    counts, real = jnp.zeros(shape, int), jnp.zeros(shape)
    none, second_0 = jnp.zeros(num_lanes, int), jnp.zeros(num_lanes)
    queue = Queue(
        present=jnp.zeros(shape, bool),
        player=counts,
        arrival=real,
        prefill=real,
        decode=real,
        reservation=counts,
        need=counts,
        order_count=counts,
        order_prefill=counts,
        order_reservation=counts,
        order_need=counts,
    )
    progress = Progress(
        time=second_0,
        unclocked=second_0,
        prefill_left=real,
        decode_left=real,
        num_admitted=none,
        prefill_admitted=none,
        reservation_admitted=none,
        need_admitted=none,
        longest=jnp.full(num_lanes, jnp.inf, float),
    )
    row = jnp.full(shape, -1, int)
    spent = nobody(shape, with_market)
    return Seats(queue, row, progress, spent, jnp.zeros(num_lanes, bool))


def no_finished(num_rows: int, spent: Spent) -> Finished:
    """Room for as many requests a lane, of each of which `spent` says what is known."""
    num_lanes, columns = spent.start_s.shape[1], 1 + len(jax.tree.leaves(spent))
    rows = jnp.zeros((num_lanes, num_rows + MOST_AT_ONCE, columns))
    return Finished(rows, jnp.zeros(num_lanes, int))


def has_finished(seats: Seats) -> Bool[Array, "seats lanes"]:
    """Who sits there still, and is served."""
    here = waiting(seats.queue, seats.progress) | active(seats.queue, seats.progress)
    return (seats.row >= 0) & ~here


def reseat(
    source: Source, place: Int[Array, " lanes"], seats: Seats, finished: Finished
) -> tuple[Int[Array, " lanes"], Seats, Finished]:
    """Those that finished leave, and the next from `place` on take their seats.

    At most `MOST_AT_ONCE` a lane; others that finished keep their seats a little longer,
    which changes nothing.
    """
    going = has_finished(seats)
    going = going & (jnp.cumsum(going, axis=0) <= MOST_AT_ONCE)
    free = going | (seats.row < 0)
    rank = jnp.cumsum(free, axis=0) - 1
    finished = _leave(seats, going, finished)
    taken = free & (rank < MOST_AT_ONCE) & (place + rank < source.num_rows)
    queue = _sit_down(source, place, rank, taken, free, seats.queue)
    before, num_taken = seats.progress, jnp.sum(taken, axis=0)
    progress = eqx.tree_at(
        lambda p: (p.prefill_left, p.decode_left),
        before,
        (
            jnp.where(taken, queue.prefill, before.prefill_left),
            jnp.where(taken, jnp.maximum(queue.decode - 1, 0), before.decode_left),
        ),
    )
    row = jnp.where(free, jnp.where(taken, queue.order_count - 1, -1), seats.row)
    num_seats, num_lanes = free.shape
    blank = nobody((num_seats, num_lanes), seats.spent.market_g is not None)
    spent = jax.tree.map(lambda new, old: jnp.where(free, new, old), blank, seats.spent)
    # Where no more will come after all, nothing hangs on it any longer.
    more = source.goes_on | (place < source.num_rows)
    starved = seats.starved & (num_taken == 0) & more
    return place + num_taken, Seats(queue, row, progress, spent, starved), finished


def _leave(seats: Seats, going: Bool[Array, "seats lanes"], finished: Finished) -> Finished:
    """`finished`, with the requests in these seats after the others."""
    rank = jnp.where(going, jnp.cumsum(going, axis=0) - 1, MOST_AT_ONCE)
    columns = [seats.row.astype(finished.rows.dtype), *jax.tree.leaves(seats.spent)]
    going_rows = jnp.stack([_by_rank(rank, x) for x in columns], axis=-1)

    def put(rows: Array, new: Array, count: Array) -> Array:
        return jax.lax.dynamic_update_slice(rows, new, (count, 0))

    rows = jax.vmap(put, in_axes=(0, 1, 0))(finished.rows, going_rows, finished.count)
    return Finished(rows, finished.count + jnp.sum(going, axis=0))


def _by_rank(rank: Int[Array, "seats lanes"], values: Array) -> Float[Array, "most lanes"]:
    """The value of the seat of rank 0, 1, ...: sums, since gathers are slower on a CPU."""
    of = rank == jnp.arange(MOST_AT_ONCE)[:, None, None]
    return jnp.sum(jnp.where(of, values, 0.0), axis=1)


def _sit_down(
    source: Source,
    place: Int[Array, " lanes"],
    rank: Int[Array, "seats lanes"],
    taken: Bool[Array, "seats lanes"],
    free: Bool[Array, "seats lanes"],
    queue: Queue,
) -> Queue:
    """The queue with row `place + rank` of the source in each seat that is taken."""

    def following(rows: Array, place: Array) -> Array:
        return jax.lax.dynamic_slice(rows, (place, 0), (MOST_AT_ONCE, rows.shape[1]))

    near = jax.vmap(following, out_axes=-1)(source.rows, place)  # place, column, lane

    def pick(column: int) -> Array:
        found = near[0, column]
        for i in range(1, MOST_AT_ONCE):
            found = jnp.where(rank == i, near[i, column], found)
        return found

    new = Row(*(pick(i) for i in range(near.shape[1])))

    def fill(new: Array, old: Array) -> Array:
        return jnp.where(taken, new.astype(old.dtype), old)

    return Queue(
        present=(queue.present & ~free) | taken,
        player=queue.player,
        arrival=fill(new.arrival, queue.arrival),
        prefill=fill(new.prefill, queue.prefill),
        decode=fill(new.decode, queue.decode),
        reservation=fill(new.prefill + new.decode, queue.reservation),
        need=fill(jnp.maximum(new.prefill, 1), queue.need),
        order_count=fill(new.order_count, queue.order_count),
        order_prefill=fill(new.order_prefill, queue.order_prefill),
        order_reservation=fill(new.order_reservation, queue.order_reservation),
        order_need=fill(new.order_need, queue.order_need),
    )
