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
    """The next requests of a backend in order of arrival, without null players.

    `rows` holds the columns of `Row`, for at least `MOST_AT_ONCE` more requests than
    there are: the rest is padding. Sums are inclusive, since the backend's counts began.
    """

    rows: Float[Array, "rows columns"]
    num_rows: Int[Array, ""]
    goes_on: Bool[Array, ""]  # whether a later slice has more


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

    prefill_j: Float[Array, "*seats"]  # electricity at the site
    decode_j: Float[Array, "*seats"]
    prefill_g: Float[Array, "*seats"]
    decode_g: Float[Array, "*seats"]
    embodied_g: Float[Array, "*seats"]
    start_s: Float[Array, "*seats"]
    first_token_s: Float[Array, "*seats"]
    finish_s: Float[Array, "*seats"]
    market_g: Float[Array, "*seats"] | None


class Seats(eqx.Module):
    """The requests of a backend that wait or run, and where the backend stands."""

    queue: Queue
    row: Int[Array, " seats"]  # place in the backend's trace; -1 where nobody sits
    progress: Progress
    spent: Spent
    starved: Bool[Array, ""]  # what happens next hangs on a request without a seat


class Finished(eqx.Module):
    """Requests that left, in the order in which they did, and how many they are.

    `rows` holds the place in the backend's trace and the columns of `Spent`.
    """

    rows: Float[Array, "rows columns"]
    count: Int[Array, ""]


def nobody(num: int, with_market: bool) -> Spent:
    """Nothing spent, never served."""
    zero, never = jnp.zeros(num), jnp.full(num, jnp.nan)
    market = zero if with_market else None
    return Spent(zero, zero, zero, zero, zero, never, never, never, market)


def empty_seats(num_seats: int, with_market: bool) -> Seats:
    """A backend to which nobody has come yet, its clock at 0."""
    counts, real = jnp.zeros(num_seats, int), jnp.zeros(num_seats)
    none = jnp.zeros((), int)
    queue = Queue(
        present=jnp.zeros(num_seats, bool),
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
        time=jnp.zeros(()),
        unclocked=jnp.zeros(()),
        prefill_left=real,
        decode_left=real,
        num_admitted=none,
        prefill_admitted=none,
        reservation_admitted=none,
        need_admitted=none,
        longest=jnp.array(jnp.inf),
    )
    row = jnp.full(num_seats, -1)
    spent = nobody(num_seats, with_market)
    return Seats(queue, row, progress, spent, jnp.zeros((), bool))


def no_finished(num_rows: int, spent: Spent) -> Finished:
    """Room for as many requests, of each of which as much is known as `spent` tells."""
    columns = 1 + len(jax.tree.leaves(spent))
    return Finished(jnp.zeros((num_rows + MOST_AT_ONCE, columns)), jnp.zeros((), int))


def has_finished(seats: Seats) -> Bool[Array, " seats"]:
    """Who sits there still, and is served."""
    here = waiting(seats.queue, seats.progress) | active(seats.queue, seats.progress)
    return (seats.row >= 0) & ~here


def reseat(
    source: Source, place: Int[Array, ""], seats: Seats, finished: Finished
) -> tuple[Int[Array, ""], Seats, Finished]:
    """Those that finished leave, and the next from `place` on take their seats.

    At most `MOST_AT_ONCE`; others that finished keep their seats a little longer, which
    changes nothing.
    """
    going = has_finished(seats)
    going = going & (jnp.cumsum(going) <= MOST_AT_ONCE)
    free = going | (seats.row < 0)
    rank = jnp.cumsum(free) - 1
    finished = _leave(seats, going, finished)
    taken = free & (rank < MOST_AT_ONCE) & (place + rank < source.num_rows)
    queue = _sit_down(source, place, rank, taken, free, seats.queue)
    before, num_taken = seats.progress, jnp.sum(taken)
    progress = eqx.tree_at(
        lambda p: (p.prefill_left, p.decode_left),
        before,
        (
            jnp.where(taken, queue.prefill, before.prefill_left),
            jnp.where(taken, jnp.maximum(queue.decode - 1, 0), before.decode_left),
        ),
    )
    row = jnp.where(free, jnp.where(taken, queue.order_count - 1, -1), seats.row)
    blank = nobody(len(free), seats.spent.market_g is not None)
    spent = jax.tree.map(lambda new, old: jnp.where(free, new, old), blank, seats.spent)
    # Where no more will come after all, nothing hangs on it any longer.
    more = source.goes_on | (place < source.num_rows)
    starved = seats.starved & (num_taken == 0) & more
    return place + num_taken, Seats(queue, row, progress, spent, starved), finished


def _leave(seats: Seats, going: Bool[Array, " seats"], finished: Finished) -> Finished:
    """`finished`, with the requests in these seats after the others."""
    rank = jnp.where(going, jnp.cumsum(going) - 1, MOST_AT_ONCE)
    columns = [seats.row.astype(finished.rows.dtype), *jax.tree.leaves(seats.spent)]
    going_rows = jnp.stack([_by_rank(rank, x) for x in columns], axis=1)
    return Finished(
        jax.lax.dynamic_update_slice(finished.rows, going_rows, (finished.count, 0)),
        finished.count + jnp.sum(going),
    )


def _by_rank(rank: Int[Array, " seats"], values: Array) -> Float[Array, " most"]:
    """The value of the seat of rank 0, 1, ...: sums, since gathers are slower on a CPU."""
    of = rank[None, :] == jnp.arange(MOST_AT_ONCE)[:, None]
    return jnp.sum(jnp.where(of, values[None, :], 0.0), axis=1)


def _sit_down(
    source: Source,
    place: Int[Array, ""],
    rank: Int[Array, " seats"],
    taken: Bool[Array, " seats"],
    free: Bool[Array, " seats"],
    queue: Queue,
) -> Queue:
    """The queue with row `place + rank` of the source in each seat that is taken."""
    columns = source.rows.shape[1]
    near = jax.lax.dynamic_slice(source.rows, (place, 0), (MOST_AT_ONCE, columns))

    def pick(column: Array) -> Array:
        found = column[0]
        for i in range(1, MOST_AT_ONCE):
            found = jnp.where(rank == i, column[i], found)
        return found

    new = Row(*(pick(near[:, i]) for i in range(columns)))

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
