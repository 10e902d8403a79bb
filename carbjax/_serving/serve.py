"""One run of a workload on a system, as it happened."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from carbjax._carbon.emissions import Emissions
from carbjax._errors import CarbjaxError
from carbjax._serving.arrange import Arrangement, arrange
from carbjax._serving.engine import Progress, Server, begin, has_work
from carbjax._serving.observers import Account, Times, TimesObserver, Totals, TotalsObserver
from carbjax._serving.queue import Queue
from carbjax._serving.run import Observers, record, run
from carbjax._serving.slots import run_slots
from carbjax._serving.steps import Steps, join_steps, reorder_steps
from carbjax._serving.system import System
from carbjax._workload import Workload

_MOST_REQUESTS_IN_OWN_SLOTS = 512
_PROPOSALS_A_CALL = 256


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What happened when a workload was served, in the workload's order of requests.

    Times are on the arrivals' clock, except `ttft_s`, which counts from the arrival.
    Null players have NaN times. `energy_j` is that of the GPUs during iterations: no
    idle, no host, no PUE. `emissions` and `carbon_g` hold everything, idle and embodied
    included, over the window from `start_s` to `end_s`.
    """

    start_s: float
    end_s: float
    busy_s: float
    energy_j: float
    num_iterations: int
    emissions: Emissions
    standing: Emissions  # what the machine would have emitted had nobody come
    scheduled_s: Float[np.ndarray, " requests"]
    ttft_s: Float[np.ndarray, " requests"]
    finish_s: Float[np.ndarray, " requests"]
    steps: Steps | None = None

    @property
    def carbon_g(self) -> float:
        """All emissions, gCO2e."""
        return float(self.emissions.total)

    @property
    def residence_s(self) -> Float[np.ndarray, " requests"]:
        """Seconds from first being scheduled to the last token; 0 for null players."""
        return np.nan_to_num(self.finish_s - self.scheduled_s)


def serve(workload: Workload, system: System, *, steps: bool = False) -> Timeline:
    """The timeline of serving `workload` on `system`; with every step if asked.

    Raises `WorkloadError` where a request can never be admitted, and `IntensityError`
    where the intensity does not cover the run.
    """
    arrangement = arrange(workload, pad=True)
    server = make_server(workload, system, arrangement)
    footprint = system.footprint
    observers = (TotalsObserver(footprint), TimesObserver())
    progress, accounts = run_workload(arrangement, server, observers)
    end = require_end(progress, system, workload, arrangement.zero_s)
    standing = footprint.standing(jnp.zeros(()), jnp.asarray(end, float), server.intensity)
    recorded = record_steps(arrangement.queue(), server) if steps else None
    return _timeline(workload, arrangement, accounts, standing, end, recorded)


def make_server(workload: Workload, system: System, arrangement: Arrangement) -> Server:
    """The system as the engine takes it, on the arrangement's clock."""
    system.require_feasible(workload)
    return Server(
        cost=system.cost,
        caps=system.caps,
        intensity=system.intensity_from(workload, arrangement.zero_s),
        policy=system.policy,
    )


def run_workload(
    arrangement: Arrangement, server: Server, observers: Observers
) -> tuple[Progress, tuple[Account, ...]]:
    """The final state and accounts of serving everybody, in the arrangement's order."""
    queue = arrangement.queue()
    num_slots = min(int(server.caps.max_num_seqs), len(arrangement.order))
    if len(arrangement.order) <= _MOST_REQUESTS_IN_OWN_SLOTS:
        return _run(queue, server, observers)
    return _run_slots(queue, server, observers, num_slots)


def require_end(
    progress: Progress, system: System, workload: Workload, zero_s: float
) -> float:
    """The end of a run on the engine's clock, checked to be covered by the intensity."""
    end = float(progress.time)
    if not np.isfinite(end):
        raise CarbjaxError(
            "the run did not end: the cost of an iteration is not a finite number.",
        )
    system.require_cover(workload, zero_s, zero_s + end)
    return end


def record_steps(queue: Queue, server: Server) -> Steps:
    """Every step of a run with a slot for each request."""
    progress, recorded = begin(queue), []
    while has_work(queue, progress):
        progress, steps = _record(queue, server, progress, num_proposals=_PROPOSALS_A_CALL)
        recorded.append(jax.device_get(steps))
    return join_steps(recorded)


@eqx.filter_jit
def _run(queue: Queue, server: Server, observers: Observers):
    return run(queue, server, observers)


@eqx.filter_jit
def _run_slots(queue: Queue, server: Server, observers: Observers, num_slots: int):
    return run_slots(queue, server, observers, num_slots=num_slots)


_record = eqx.filter_jit(record)


def _timeline(
    workload: Workload,
    arrangement: Arrangement,
    accounts: tuple[Account, ...],
    standing: Emissions,
    end: float,
    steps: Steps | None,
) -> Timeline:
    totals: Totals = accounts[0].totals
    times: Times = accounts[1].slots
    zero = arrangement.zero_s
    first_token = zero + arrangement.to_workload_order(times.first_token_s)
    if steps is not None:
        steps = reorder_steps(steps, arrangement.order)
    return Timeline(
        start_s=zero,
        end_s=zero + end,
        busy_s=float(totals.busy_s),
        energy_j=float(totals.gpu_energy_j),
        num_iterations=round(float(totals.num_iterations)),
        emissions=standing + totals.emissions,
        standing=standing,
        scheduled_s=zero + arrangement.to_workload_order(times.start_s),
        ttft_s=first_token - workload.arrival_s,
        finish_s=zero + arrangement.to_workload_order(times.finish_s),
        steps=steps,
    )
