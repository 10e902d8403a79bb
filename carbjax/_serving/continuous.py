"""Serving with real numbers of tokens, so that emissions can be differentiated by them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from carbjax._carbon.emissions import Emissions
from carbjax._carbon.footprint import Footprint
from carbjax._errors import WorkloadError
from carbjax._serving.buckets import num_slots
from carbjax._serving.engine import Server, Step, has_work
from carbjax._serving.observers import AbstractObserver, Account, TotalsObserver
from carbjax._serving.queue import Queue, make_queue
from carbjax._serving.run import Observers, run, run_bounded
from carbjax._serving.serve import timeline_observers
from carbjax._serving.system import System
from carbjax._serving.whole import run_whole
from carbjax._workload import Workload

_SPARE_STEPS = 2  # times those of the workload itself


class RealTokens(eqx.Module):
    """Everybody served, with real numbers of tokens: the engine and who comes when.

    There are slots for more requests than come, so that few numbers of them are compiled.
    """

    arrival: Float[Array, " slots"]
    order: Int[Array, " slots"]
    server: Server
    footprint: Footprint

    @property
    def num_slots(self) -> int:
        return len(self.arrival)

    def observe(
        self,
        num_prefill_tokens: Float[Array, " requests"],
        num_decode_tokens: Float[Array, " requests"],
        observers: Observers,
        *,
        max_steps: int | None = None,
    ) -> tuple[Account, ...]:
        """What `observers` gather when these counts are served, in the workload's order.

        Requests that are left out at the end ask for nothing.
        In at most `max_steps` steps, NaN if they are too few; with None in as many as it
        takes, and then forward mode only.
        """
        number = len(num_prefill_tokens)
        queue = self._queue(num_prefill_tokens, num_decode_tokens)
        if max_steps is None:
            progress, accounts = run(queue, self.server, observers)
        else:
            progress, accounts = run_bounded(
                queue, self.server, observers, max_steps=max_steps
            )
        done = ~has_work(queue, progress) & jnp.isfinite(progress.time)
        place = jnp.argsort(self.order)[:number]
        return tuple(
            Account(_only_if(done, a.totals), _only_if(done, _take(a.slots, place)))
            for a in accounts
        )

    def _queue(self, prefill: Float[Array, " requests"], decode) -> Queue:
        everybody = jnp.ones(self.arrival.shape, bool)
        extra = (0, self.num_slots - len(prefill))
        in_order = (jnp.pad(x, extra)[self.order] for x in (prefill, decode))
        return make_queue(everybody, self.arrival, *in_order)


class ContinuousServing(eqx.Module):
    """Emissions of serving a workload as a differentiable function of its token counts.

    Called with real `num_prefill_tokens` and `num_decode_tokens`, `" requests"` in the
    workload's order, it returns the `Emissions` of serving everybody; arrivals and, if
    always on, the window are those of `workload`. What is real and what stays whole, and
    the distance to the integer engine, is in docs/semantics.md.

    Forward and reverse mode, `jit` and `vmap`. Counts that need more than twice the
    steps of the workload itself give NaN; make another one for those.

        serving = ContinuousServing(workload, system)
        price = jax.grad(lambda d: serving(prefill, d).total)(decode)  # gCO2e a token
    """

    requests: RealTokens
    standing: Emissions  # of the machine as such, over the window
    max_steps: int = eqx.field(static=True)

    def __init__(self, workload: Workload, system: System):
        if workload.is_null.any():
            raise WorkloadError(
                f"request {int(np.argmax(workload.is_null))} has no tokens.",
                hint="Leave null players out: emissions do not depend on them smoothly.",
            )
        whole = run_whole(workload, system, timeline_observers(system), pad=True)
        self.standing = whole.standing
        arrival, order = np.asarray(whole.arrangement.requests[0]), whole.arrangement.order
        slots = num_slots(len(order))
        extra = (0, slots - len(order))
        self.requests = RealTokens(
            arrival=jnp.asarray(np.pad(arrival, extra, mode="edge")),
            order=jnp.asarray(np.r_[order, np.arange(len(order), slots)]),
            server=whole.server,
            footprint=system.footprint,
        )
        tokens = workload.num_prefill_tokens, workload.num_decode_tokens
        filled = (jnp.asarray(np.pad(t, extra), float) for t in tokens)
        self.max_steps = _num_steps(self.requests, *filled)

    def __call__(
        self,
        num_prefill_tokens: Float[Array, " requests"],
        num_decode_tokens: Float[Array, " requests"],
    ) -> Emissions:
        (account,) = self.requests.observe(
            num_prefill_tokens,
            num_decode_tokens,
            (TotalsObserver(self.requests.footprint),),
            max_steps=self.max_steps,
        )
        return self.standing + account.totals.emissions


class StepCount(AbstractObserver):
    """How many proposals a run takes, the rejected ones included."""

    def zero(self, num_slots: int) -> Account:
        return Account(jnp.zeros((), int), ())

    def observe(self, account: Account, step: Step) -> Account:
        return Account(account.totals + 1, ())


def _take(tree, place: Int[Array, " requests"]):
    return jax.tree.map(lambda x: x[place], tree)


def _only_if(done: Bool[Array, ""], tree):
    """The tree, its real numbers NaN unless `done`."""

    def known(x: Array) -> Array:
        return jnp.where(done, x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(known, tree)


@eqx.filter_jit
def _count(requests: RealTokens, prefill, decode) -> Int[Array, ""]:
    return requests.observe(prefill, decode, (StepCount(),))[0].totals


def _num_steps(requests: RealTokens, prefill, decode) -> int:
    """Steps to allow for: a power of two, so that few lengths are compiled."""
    needed = _SPARE_STEPS * int(_count(requests, prefill, decode))
    return 1 << (needed - 1).bit_length()
