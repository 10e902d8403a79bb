"""Long workloads through few slots: a step costs O(slots), not O(requests).

A slot holds a request from when it is among the next in the queue until it has
finished. With as many slots as the server runs requests at once, every request that
could be admitted at a boundary is in a slot.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from carbjax._serving.engine import (
    Progress,
    Server,
    Step,
    active,
    advance,
    begin,
    has_work,
    waiting,
)
from carbjax._serving.observers import Account
from carbjax._serving.queue import Queue
from carbjax._serving.run import Observers

_STEPS_AT_ONCE = 64  # what observers prepare together


class Seating(eqx.Module):
    """Which request sits in which slot, and where the run stands."""

    slots: Queue
    request: Int[Array, " slots"]  # index in the source; beyond it where never used
    next: Int[Array, ""]  # first request not yet seated
    progress: Progress


class Taken(eqx.Module):
    """A step, and the slots that were given to other requests before it."""

    left: Bool[Array, " slots"]
    request: Int[Array, " slots"]  # who sat there before
    step: Step


class Books(eqx.Module):
    """What has been learnt, of the requests in slots and of those that left."""

    accounts: tuple[Account, ...]
    results: tuple  # per-slot accounts by request: " requests"


def run_slots(
    source: Queue, server: Server, observers: Observers, *, num_slots: int
) -> tuple[Progress, tuple[Account, ...]]:
    """As `run`, for a long queue; `num_slots` must be at least the cap `max_num_seqs`.

    The accounts' per-slot entries come back by request of the source. Null players must
    come last in it: one in a slot would hide the request that is next.
    """
    num_requests = source.arrival.shape[0]

    def unfinished(state: tuple[Seating, Books]) -> Bool[Array, ""]:
        seating, _ = state
        more = seating.next < num_requests
        return (more | has_work(seating.slots, seating.progress)) & jnp.isfinite(
            seating.progress.time
        )

    def take(seating: Seating, _) -> tuple[Seating, Taken]:
        return _take(source, server, seating)

    def block(state: tuple[Seating, Books]) -> tuple[Seating, Books]:
        seating, books = state
        seating, taken = jax.lax.scan(take, seating, length=_STEPS_AT_ONCE)
        return seating, _write_up(observers, books, taken)

    books = Books(
        accounts=tuple(observer.zero(num_slots) for observer in observers),
        results=tuple(observer.zero(num_requests).slots for observer in observers),
    )
    start = _empty(source, num_slots), books
    seating, books = jax.lax.while_loop(unfinished, block, start)
    results = _leave(books, jnp.ones(num_slots, bool), seating.request).results
    accounts = tuple(
        Account(account.totals, result)
        for account, result in zip(books.accounts, results, strict=True)
    )
    return seating.progress, accounts


def _empty(source: Queue, num_slots: int) -> Seating:
    slots = jax.tree.map(lambda x: jnp.zeros(num_slots, x.dtype), source)
    first = jnp.min(jnp.where(source.present, source.arrival, jnp.inf))
    return Seating(
        slots=slots,
        request=jnp.full(num_slots, source.arrival.shape[0]),
        next=jnp.zeros((), int),
        progress=eqx.tree_at(lambda p: p.time, begin(slots), first),
    )


def _take(source: Queue, server: Server, seating: Seating) -> tuple[Seating, Taken]:
    """The next step, once free slots have been given to those that come next."""
    slots, progress = seating.slots, seating.progress
    free = ~(waiting(slots, progress) | active(slots, progress))
    left = free & (seating.next < source.arrival.shape[0])
    seated = jax.lax.cond(
        jnp.any(left), lambda s: _seat(source, s, left), lambda s: s, seating
    )
    progress, step = advance(seated.slots, seated.progress, server)
    after = eqx.tree_at(lambda s: s.progress, seated, progress)
    return after, Taken(left, seating.request, step)


def _seat(source: Queue, seating: Seating, free: Bool[Array, " slots"]) -> Seating:
    """The next requests of the source in the free slots."""
    num_requests = source.arrival.shape[0]
    index = seating.next + jnp.cumsum(free) - 1
    taken = free & (index < num_requests)
    index = jnp.where(taken, index, 0)

    def fill(old: Array, new: Array) -> Array:
        return jnp.where(taken, new[index], old)

    slots = jax.tree.map(fill, seating.slots, source)
    slots = eqx.tree_at(lambda q: q.present, slots, slots.present & (taken | ~free))
    fresh, before = begin(slots), seating.progress
    progress = eqx.tree_at(
        lambda p: (p.prefill_left, p.decode_left),
        before,
        (
            jnp.where(free, fresh.prefill_left, before.prefill_left),
            jnp.where(free, fresh.decode_left, before.decode_left),
        ),
    )
    request = jnp.where(free, jnp.where(taken, index, num_requests), seating.request)
    return Seating(slots, request, seating.next + jnp.sum(taken), progress)


def _write_up(observers: Observers, books: Books, taken: Taken) -> Books:
    """The books after these steps, which have a leading axis."""
    prepared = tuple(observer.prepare(taken.step) for observer in observers)

    def write(books: Books, one: tuple[Taken, tuple]) -> tuple[Books, None]:
        now, ready = one
        books = jax.lax.cond(
            jnp.any(now.left),
            lambda b: _turn_over(observers, b, now.left, now.request),
            lambda b: b,
            books,
        )
        accounts = tuple(
            observer.observe_prepared(account, now.step, known)
            for observer, account, known in zip(
                observers, books.accounts, ready, strict=True
            )
        )
        return Books(accounts, books.results), None

    books, _ = jax.lax.scan(write, books, (taken, prepared))
    return books


def _turn_over(
    observers: Observers,
    books: Books,
    left: Bool[Array, " slots"],
    request: Int[Array, " slots"],
) -> Books:
    """Accounts of those who left stored by request, and new ones in their slots."""
    books = _leave(books, left, request)
    blank = [observer.zero(len(left)) for observer in observers]

    def start_anew(old: Array, new: Array) -> Array:
        return jnp.where(left, new, old)

    accounts = tuple(
        Account(account.totals, jax.tree.map(start_anew, account.slots, unknown.slots))
        for account, unknown in zip(books.accounts, blank, strict=True)
    )
    return Books(accounts, books.results)


def _leave(books: Books, left: Bool[Array, " slots"], request: Array) -> Books:
    """What was learnt of the requests in these slots, stored by request."""

    def store(result: Array, slot: Array) -> Array:
        where = jnp.where(left, request, result.shape[0])
        return result.at[where].set(slot, mode="drop")

    results = tuple(
        jax.tree.map(store, result, account.slots)
        for result, account in zip(books.results, books.accounts, strict=True)
    )
    return Books(books.accounts, results)
