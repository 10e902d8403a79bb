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
    active,
    advance,
    begin,
    has_work,
    waiting,
)
from carbjax._serving.observers import Account
from carbjax._serving.queue import Queue
from carbjax._serving.run import Observers, observe_all


class Seating(eqx.Module):
    """Which request sits in which slot, and what has been learnt of those that left."""

    slots: Queue
    request: Int[Array, " slots"]  # index in the source; beyond it where never used
    next: Int[Array, ""]  # first request not yet seated
    progress: Progress
    accounts: tuple[Account, ...]
    results: tuple  # per-slot accounts by request: " requests"


def run_slots(
    source: Queue, server: Server, observers: Observers, *, num_slots: int
) -> tuple[Progress, tuple[Account, ...]]:
    """As `run`, for a long queue; `num_slots` must be at least the cap `max_num_seqs`.

    The accounts' per-slot entries come back by request of the source. Null players must
    come last in it: one in a slot would hide the request that is next.
    """

    blank = tuple(observer.zero(num_slots) for observer in observers)

    def unfinished(seating: Seating) -> Bool[Array, ""]:
        more = seating.next < source.arrival.shape[0]
        return (more | has_work(seating.slots, seating.progress)) & jnp.isfinite(
            seating.progress.time
        )

    def step(seating: Seating) -> Seating:
        free = _free(seating)
        more = seating.next < source.arrival.shape[0]
        seating = jax.lax.cond(
            more & jnp.any(free),
            lambda s: _seat(source, s, free, blank),
            lambda s: s,
            seating,
        )
        progress, taken = advance(seating.slots, seating.progress, server)
        accounts = observe_all(observers, seating.accounts, taken)
        return eqx.tree_at(
            lambda s: (s.progress, s.accounts), seating, (progress, accounts)
        )

    final = jax.lax.while_loop(unfinished, step, _empty(source, observers, num_slots))
    final = _leave(final, jnp.ones(num_slots, bool))
    accounts = tuple(
        Account(account.totals, result)
        for account, result in zip(final.accounts, final.results, strict=True)
    )
    return final.progress, accounts


def _empty(source: Queue, observers: Observers, num_slots: int) -> Seating:
    num_requests = source.arrival.shape[0]
    slots = jax.tree.map(lambda x: jnp.zeros(num_slots, x.dtype), source)
    progress = begin(slots)
    first = jnp.min(jnp.where(source.present, source.arrival, jnp.inf))
    return Seating(
        slots=slots,
        request=jnp.full(num_slots, num_requests),
        next=jnp.zeros((), int),
        progress=eqx.tree_at(lambda p: p.time, progress, first),
        accounts=tuple(observer.zero(num_slots) for observer in observers),
        results=tuple(observer.zero(num_requests).slots for observer in observers),
    )


def _free(seating: Seating) -> Bool[Array, " slots"]:
    slots, progress = seating.slots, seating.progress
    return ~(waiting(slots, progress) | active(slots, progress))


def _leave(seating: Seating, free: Bool[Array, " slots"]) -> Seating:
    """What was learnt of the requests in the free slots, stored by request."""

    def store(result: Array, slot: Array) -> Array:
        where = jnp.where(free, seating.request, result.shape[0])
        return result.at[where].set(slot, mode="drop")

    results = tuple(
        jax.tree.map(store, result, account.slots)
        for result, account in zip(seating.results, seating.accounts, strict=True)
    )
    return eqx.tree_at(lambda s: s.results, seating, results)


def _seat(
    source: Queue, seating: Seating, free: Bool[Array, " slots"], blank: tuple[Account, ...]
) -> Seating:
    """The next requests of the source in the free slots, with `blank` accounts."""
    seating = _leave(seating, free)
    num_requests = source.arrival.shape[0]
    index = seating.next + jnp.cumsum(free) - 1
    taken = free & (index < num_requests)
    index = jnp.where(taken, index, 0)

    def fill(old: Array, new: Array) -> Array:
        return jnp.where(taken, new[index], old)

    def start_anew(old: Array, new: Array) -> Array:
        return jnp.where(free, new, old)

    slots = jax.tree.map(fill, seating.slots, source)
    slots = eqx.tree_at(lambda q: q.present, slots, slots.present & (taken | ~free))
    fresh = begin(slots)
    before = seating.progress
    progress = eqx.tree_at(
        lambda p: (p.prefill_left, p.decode_left),
        before,
        (
            start_anew(before.prefill_left, fresh.prefill_left),
            start_anew(before.decode_left, fresh.decode_left),
        ),
    )
    accounts = tuple(
        Account(account.totals, jax.tree.map(start_anew, account.slots, unknown.slots))
        for account, unknown in zip(seating.accounts, blank, strict=True)
    )
    return Seating(
        slots=slots,
        request=jnp.where(free, jnp.where(taken, index, num_requests), seating.request),
        next=seating.next + jnp.sum(taken),
        progress=progress,
        accounts=accounts,
        results=seating.results,
    )
