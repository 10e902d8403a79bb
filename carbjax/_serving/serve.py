"""One run of a workload on a system, as it happened."""

import dataclasses

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from carbjax._carbon.emissions import Emissions
from carbjax._errors import WorkloadError
from carbjax._serving.engine import Server, begin, has_work
from carbjax._serving.observers import Times, TimesObserver, Totals, TotalsObserver
from carbjax._serving.queue import Queue
from carbjax._serving.run import Observers, record
from carbjax._serving.steps import Steps, join_steps, reorder_steps
from carbjax._serving.system import System
from carbjax._serving.whole import WholeRun, run_whole
from carbjax._workload import Workload

_PROPOSALS_A_CALL = 256
_MOST_RECORDED = 2**25  # steps times requests, about 45 bytes each


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

    Raises `WorkloadError` where a request can never be admitted, or where there are too
    many steps to return, and `IntensityError` where the intensity does not cover the run.
    """
    whole = run_whole(workload, system, timeline_observers(system), pad=True)
    recorded = None
    if steps:
        by_slot = record_steps(whole.arrangement.queue(), whole.server)
        recorded = reorder_steps(by_slot, whole.arrangement.order)
    return timeline_of(workload, whole, recorded)


def timeline_observers(system: System) -> Observers:
    """What a run must be looked at by so that `timeline_of` can tell what happened."""
    return TotalsObserver(system.footprint), TimesObserver()


def record_steps(queue: Queue, server: Server) -> Steps:
    """Every step of a run with a slot for each request.

    Raises `WorkloadError` where steps times requests would not fit in memory.
    """
    progress, recorded = begin(queue), []
    while has_work(queue, progress):
        if len(recorded) * _PROPOSALS_A_CALL * len(queue.present) > _MOST_RECORDED:
            raise WorkloadError(
                "the run has too many steps to record them, one entry a request each.",
                hint="Record fewer requests: `workload.select(slice(0, 500))`.",
            )
        progress, steps = _record(queue, server, progress, num_proposals=_PROPOSALS_A_CALL)
        recorded.append(jax.device_get(steps))
    return join_steps(recorded)


_record = eqx.filter_jit(record)


def timeline_of(
    workload: Workload, whole: WholeRun, steps: Steps | None = None
) -> Timeline:
    """What happened in this run, in the order of the workload's requests."""
    totals: Totals = whole.accounts[0].totals
    times: Times = whole.accounts[1].slots
    zero, by_request = whole.arrangement.zero_s, whole.arrangement.to_workload_order
    return Timeline(
        start_s=zero,
        end_s=zero + whole.end,
        busy_s=float(totals.busy_s),
        energy_j=float(totals.gpu_energy_j),
        num_iterations=round(float(totals.num_iterations)),
        emissions=whole.standing + totals.emissions,
        standing=whole.standing,
        scheduled_s=zero + by_request(times.start_s),
        ttft_s=zero + by_request(times.first_token_s) - workload.arrival_s,
        finish_s=zero + by_request(times.finish_s),
        steps=steps,
    )
