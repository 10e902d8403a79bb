"""Runs of the engine from the first arrival to the last token."""

import functools as ft

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from carbjax._serving.engine import Progress, Server, Step, advance, begin, has_work
from carbjax._serving.observers import AbstractObserver, Account
from carbjax._serving.queue import Queue

Accounts = tuple[Account, ...]
Observers = tuple[AbstractObserver, ...]


def run(queue: Queue, server: Server, observers: Observers) -> tuple[Progress, Accounts]:
    """The final state and what each observer gathered; each request has its own slot.

    To be called under `jit`. Arrays of the queue have shape (slots,), or (slots, lanes)
    for many queues that advance in lockstep; what lanes share is (slots, 1). As under
    `vmap`, which puts lanes first, but sums over slots are then sums of vectors.
    Forward-mode differentiable.
    """

    def step(state: tuple[Progress, Accounts]) -> tuple[Progress, Accounts]:
        before, accounts = state
        progress, taken = advance(queue, before, server)
        seen = observe_all(observers, accounts, taken)
        if queue.present.ndim > 1:  # some lanes have finished
            goes_on = has_work(queue, before)
            keep = ft.partial(jnp.where, goes_on)
            seen = jax.tree.map(keep, seen, accounts)
        return progress, seen

    def unfinished(state: tuple[Progress, Accounts]) -> Bool[Array, ""]:
        return jnp.any(has_work(queue, state[0]))

    with jax.numpy_rank_promotion("allow"):  # numbers of a lane meet those of its slots
        return jax.lax.while_loop(unfinished, step, _start(queue, observers))


def run_bounded(
    queue: Queue, server: Server, observers: Observers, *, max_steps: int
) -> tuple[Progress, Accounts]:
    """As `run`, in at most `max_steps` steps, and reverse-mode differentiable.

    Each step is checkpointed, so memory grows by one small state a step. The caller
    checks `has_work` of the returned state: true means that `max_steps` was too few.
    """

    @jax.checkpoint
    def step(state: tuple[Progress, Accounts], _) -> tuple[tuple[Progress, Accounts], None]:
        progress, taken = advance(queue, state[0], server)
        return (progress, observe_all(observers, state[1], taken)), None

    state, _ = jax.lax.scan(step, _start(queue, observers), length=max_steps)
    return state


def record(
    queue: Queue, server: Server, progress: Progress, *, num_proposals: int
) -> tuple[Progress, Step]:
    """The state after `num_proposals` steps, and the steps along a leading axis.

    Rejected proposals are among them, with no iterations.
    """

    def step(progress: Progress, _) -> tuple[Progress, Step]:
        return advance(queue, progress, server)

    return jax.lax.scan(step, progress, length=num_proposals)


def observe_all(observers: Observers, accounts: Accounts, step: Step) -> Accounts:
    pairs = zip(observers, accounts, strict=True)
    return tuple(observer.observe(account, step) for observer, account in pairs)


def _start(queue: Queue, observers: Observers) -> tuple[Progress, Accounts]:
    num_slots, *lanes = queue.present.shape

    def spread(x: Array) -> Array:
        return jnp.broadcast_to(
            x.reshape(*x.shape, *(1 for _ in lanes)), (*x.shape, *lanes)
        )

    zeros = (observer.zero(num_slots) for observer in observers)
    return begin(queue), tuple(jax.tree.map(spread, zero) for zero in zeros)
