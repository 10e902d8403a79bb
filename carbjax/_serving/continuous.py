"""Serving with real numbers of tokens, so that emissions can be differentiated by them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from carbjax._carbon.emissions import Emissions
from carbjax._carbon.footprint import Footprint
from carbjax._errors import WorkloadError
from carbjax._serving.engine import Server, Step, has_work
from carbjax._serving.observers import AbstractObserver, Account, TotalsObserver
from carbjax._serving.queue import Queue, make_queue
from carbjax._serving.run import run, run_bounded
from carbjax._serving.system import System
from carbjax._serving.whole import run_whole
from carbjax._workload import Workload

_SPARE_STEPS = 2  # times those of the workload itself


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

    arrival: Float[Array, " requests"]
    order: Int[Array, " requests"]
    server: Server
    footprint: Footprint
    standing: Emissions  # of the machine as such, over the window
    max_steps: int = eqx.field(static=True)

    def __init__(self, workload: Workload, system: System):
        if workload.is_null.any():
            raise WorkloadError(
                f"request {int(np.argmax(workload.is_null))} has no tokens.",
                hint="Leave null players out: emissions do not depend on them smoothly.",
            )
        whole = run_whole(workload, system, (), pad=False)
        self.server, self.standing = whole.server, whole.standing
        self.footprint = system.footprint
        self.arrival = whole.arrangement.arrival
        self.order = jnp.asarray(whole.arrangement.order)
        tokens = (workload.num_prefill_tokens, workload.num_decode_tokens)
        self.max_steps = _num_steps(
            self._queue(*(jnp.asarray(t, float) for t in tokens)), self
        )

    def __call__(
        self,
        num_prefill_tokens: Float[Array, " requests"],
        num_decode_tokens: Float[Array, " requests"],
    ) -> Emissions:
        queue = self._queue(num_prefill_tokens, num_decode_tokens)
        observers = (TotalsObserver(self.footprint),)
        progress, (account,) = run_bounded(
            queue, self.server, observers, max_steps=self.max_steps
        )
        emissions = self.standing + account.totals.emissions
        done = ~has_work(queue, progress)
        return jax.tree.map(lambda x: jnp.where(done, x, jnp.nan), emissions)

    def _queue(self, prefill: Float[Array, " requests"], decode) -> Queue:
        everybody = jnp.ones(self.arrival.shape, bool)
        return make_queue(everybody, self.arrival, prefill[self.order], decode[self.order])


class _StepCount(AbstractObserver):
    """How many proposals a run takes, the rejected ones included."""

    def zero(self, num_slots: int) -> Account:
        return Account(jnp.zeros((), int), ())

    def observe(self, account: Account, step: Step) -> Account:
        return Account(account.totals + 1, ())


@eqx.filter_jit
def _count(queue: Queue, server: Server):
    return run(queue, server, (_StepCount(),))[1][0].totals


def _num_steps(queue: Queue, serving: ContinuousServing) -> int:
    """Steps to allow for: a power of two, so that few lengths are compiled."""
    needed = _SPARE_STEPS * int(_count(queue, serving.server))
    return 1 << (needed - 1).bit_length()
