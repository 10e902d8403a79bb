"""Changed copies of a workload, served side by side."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from carbjax._carbon.emissions import Emissions
from carbjax._errors import CarbjaxError
from carbjax._progress import report
from carbjax._serving.buckets import power_of
from carbjax._serving.engine import Server
from carbjax._serving.observers import (
    AbstractObserver,
    Account,
    TimesObserver,
    TotalsObserver,
)
from carbjax._serving.queue import make_queue
from carbjax._serving.run import Observers, run
from carbjax._serving.serve import Timeline, timeline_of
from carbjax._serving.system import System
from carbjax._serving.whole import MOST_REQUESTS_IN_OWN_SLOTS, WholeRun, run_whole
from carbjax._workload import Workload

Tokens = Int[np.ndarray, "variants requests"]

_FEWEST_LANES = 16
_MOST_SLOTS = 2**17  # variants times slots that are served at once


@dataclasses.dataclass(frozen=True)
class Variant:
    """One copy and its run, accounted over the window of the original.

    - `standing`: what the machine would have emitted in that window had nobody come.
    - `timeline`: its `start_s` and `end_s` are those of the window; None where nobody asks
      for anything, so that nothing is served.
    - `charged`: what an observer charged each request, `" requests"`, if one looked on.
    """

    workload: Workload
    standing: Emissions
    timeline: Timeline | None = None
    charged: Emissions | None = None


def serve_variants(
    workload: Workload,
    system: System,
    num_prefill_tokens: Tokens,
    num_decode_tokens: Tokens,
    observer: AbstractObserver | None = None,
) -> list[Variant]:
    """A run for each row of token counts.

    Arrivals and players are the workload's own; its null players stay so. Up to 512
    requests the copies run in lockstep under `vmap`; beyond, one after the other.
    """
    copies = [
        workload.with_tokens(*row)
        for row in zip(num_prefill_tokens, num_decode_tokens, strict=True)
    ]
    for copy in copies:
        system.require_feasible(copy)
    original = run_whole(workload, system, (), pad=True)
    observers: Observers = (TotalsObserver(system.footprint), TimesObserver())
    if observer is not None:
        observers += (observer,)
    asked = [copy for copy in copies if not copy.is_null.all()]
    if not asked:
        runs = []
    elif workload.num_requests > MOST_REQUESTS_IN_OWN_SLOTS:
        runs = [run_whole(copy, system, observers, pad=True) for copy in asked]
    else:
        runs = _run_in_lockstep(asked, original, observers)
    for copy, each in zip(asked, runs, strict=True):
        zero_s = each.arrangement.zero_s
        system.require_cover(copy, zero_s, zero_s + each.end)
    served = iter(zip(asked, runs, strict=True))
    return [
        Variant(copy, original.standing)
        if copy.is_null.all()
        else _variant(*next(served), original)
        for copy in copies
    ]


def _variant(copy: Workload, its_run: WholeRun, original: WholeRun) -> Variant:
    """The copy's run with the window, and so the standing emissions, of the original."""
    accounted = dataclasses.replace(its_run, standing=original.standing)
    timeline = timeline_of(copy, accounted)
    zero_s = original.arrangement.zero_s
    timeline = dataclasses.replace(timeline, start_s=zero_s, end_s=zero_s + original.end)
    charged = None
    if len(its_run.accounts) > 2:
        by_request = its_run.arrangement.to_workload_order
        charged = jax.tree.map(by_request, its_run.accounts[2].slots)
    return Variant(copy, original.standing, timeline, charged)


def _run_in_lockstep(
    copies: list[Workload], original: WholeRun, observers: Observers
) -> list[WholeRun]:
    """The runs of the copies on the original's clock and in its order of requests."""
    arrangement = original.arrangement
    prefill, decode = (
        _slots(np.array([getattr(copy, name) for copy in copies]), original)
        for name in ("num_prefill_tokens", "num_decode_tokens")
    )
    number, num_slots = prefill.shape
    chunk = min(_lanes(number), max(1, _MOST_SLOTS // num_slots))
    runs = []
    for start in range(0, number, chunk):
        # The last chunk is filled up, so that one size is compiled.
        rows = np.minimum(np.arange(start, start + chunk), number - 1)
        ends, accounts = jax.device_get(
            _run_many(
                arrangement.arrival,
                jnp.asarray(prefill[rows]),
                jnp.asarray(decode[rows]),
                arrangement.player,
                original.server,
                observers,
            )
        )
        for k in range(min(chunk, number - start)):
            mine = jax.tree.map(lambda x, k=k: x[k], accounts)
            runs.append(_whole(original, mine, float(ends[k])))
        report("variants", min(start + chunk, number), number)
    return runs


def _lanes(number: int) -> int:
    """16 times a power of 4, at least `number`, so that few sizes are compiled."""
    return power_of(4, number, least=_FEWEST_LANES)


def _whole(original: WholeRun, accounts: tuple[Account, ...], end: float) -> WholeRun:
    if not np.isfinite(end):
        raise CarbjaxError("the run did not end: an iteration's latency is not finite.")
    return dataclasses.replace(original, accounts=accounts, end=end)


def _slots(by_request: Tokens, original: WholeRun) -> Int[np.ndarray, "variants slots"]:
    """Token counts in the original's order, padded as its slots are."""
    order, like = original.arrangement.order, original.arrangement.prefill
    extra = len(like) - len(order)
    return np.pad(by_request[:, order], ((0, 0), (0, extra))).astype(like.dtype)


@eqx.filter_jit
def _run_many(
    arrival: Float[Array, " slots"],
    prefill: Int[Array, "variants slots"],
    decode: Int[Array, "variants slots"],
    player: Int[Array, " slots"],
    server: Server,
    observers: Observers,
) -> tuple[Float[Array, " variants"], tuple[Account, ...]]:
    def one(prefill, decode):
        everybody = jnp.ones(arrival.shape, bool)
        queue = make_queue(everybody, arrival, prefill, decode, player)
        progress, accounts = run(queue, server, observers)
        return progress.time, accounts

    return jax.vmap(one)(prefill, decode)
