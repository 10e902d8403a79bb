"""Everybody served once: what serving, games and methods that need the real run share."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from carbjax._carbon.emissions import Emissions
from carbjax._errors import CarbjaxError
from carbjax._serving.arrange import Arrangement, arrange
from carbjax._serving.engine import Progress, Server
from carbjax._serving.observers import Account
from carbjax._serving.queue import Queue
from carbjax._serving.run import Observers, run
from carbjax._serving.slots import run_slots
from carbjax._serving.system import System
from carbjax._workload import Workload

MOST_REQUESTS_IN_OWN_SLOTS = 512


@dataclasses.dataclass(frozen=True)
class WholeRun:
    """A run of the whole workload, on the arrangement's clock and in its order."""

    arrangement: Arrangement
    server: Server
    accounts: tuple[Account, ...]
    end: float  # s
    standing: Emissions  # of the machine as such, from the first arrival to the end


def run_whole(
    workload: Workload, system: System, observers: Observers, *, pad: bool
) -> WholeRun:
    """The run, checked: every request can be admitted, the intensity covers it, it ends.

    With `pad` the workload's size is rounded up, so that few sizes are compiled.
    """
    system.require_feasible(workload)
    arrangement = arrange(workload, pad=pad)
    server = Server(
        cost=system.cost,
        caps=system.caps,
        intensity=system.intensity_from(workload, arrangement.zero_s),
        policy=system.policy,
    )
    progress, accounts = _run_arranged(arrangement, server, observers)
    end = float(progress.time)
    if not np.isfinite(end):
        raise CarbjaxError("the run did not end: an iteration's latency is not finite.")
    zero_s = arrangement.zero_s
    system.require_cover(workload, zero_s, zero_s + end)
    standing = system.footprint.standing(
        jnp.zeros(()), jnp.asarray(end, float), server.intensity
    )
    return WholeRun(arrangement, server, accounts, end, standing)


def _run_arranged(
    arrangement: Arrangement, server: Server, observers: Observers
) -> tuple[Progress, tuple[Account, ...]]:
    queue, num_requests = arrangement.queue(), len(arrangement.order)
    if num_requests <= MOST_REQUESTS_IN_OWN_SLOTS:
        return _run(queue, server, observers)
    num_slots = min(int(server.caps.max_num_seqs), num_requests)
    return _run_slots(queue, server, observers, num_slots)


@eqx.filter_jit
def _run(queue: Queue, server: Server, observers: Observers):
    return run(queue, server, observers)


@eqx.filter_jit
def _run_slots(queue: Queue, server: Server, observers: Observers, num_slots: int):
    return run_slots(queue, server, observers, num_slots=num_slots)
