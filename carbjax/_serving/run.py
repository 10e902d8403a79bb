"""Runs of the engine from the first arrival to the last token."""

import jax
from jaxtyping import Array, Bool

from carbjax._serving.engine import Progress, Server, Step, advance, begin, has_work
from carbjax._serving.observers import AbstractObserver, Account
from carbjax._serving.queue import Queue

Accounts = tuple[Account, ...]
Observers = tuple[AbstractObserver, ...]


def run(queue: Queue, server: Server, observers: Observers) -> tuple[Progress, Accounts]:
    """The final state and what each observer gathered; each request has its own slot.

    To be called under `jit`, and `vmap` over queues: lanes advance in lockstep.
    Forward-mode differentiable.
    """

    def step(state: tuple[Progress, Accounts]) -> tuple[Progress, Accounts]:
        progress, taken = advance(queue, state[0], server)
        return progress, observe_all(observers, state[1], taken)

    def unfinished(state: tuple[Progress, Accounts]) -> Bool[Array, ""]:
        return has_work(queue, state[0])

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
    num_slots = queue.arrival.shape[0]
    return begin(queue), tuple(observer.zero(num_slots) for observer in observers)
