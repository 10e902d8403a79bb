"""The judge's random machines and cases as carbjax systems and workloads."""

import datetime as dt

import numpy as np

from carbjax._carbon.intensity import Intensity
from carbjax._hardware import Accelerator, ModelShape
from carbjax._serving.system import System
from carbjax._units import INT32_MAX
from carbjax._workload import Workload
from tests.engine_cases import ReferenceCost
from tests.reference import games
from tests.reference.carbon import Machine
from tests.reference.workloads import Case, random_machine

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)  # where float seconds are exact
TINY = ModelShape("tiny", 1, 8, 1, 1, 8, 8, 8)


def case_workload(case: Case, player=None) -> Workload:
    arrival, prefill, decode = zip(*case.requests, strict=True)
    return Workload(arrival, prefill, decode, player, EPOCH)


def case_system(case: Case, machine: Machine) -> System:
    """The system on which the case runs, emitting as the machine does."""
    year_s = 365.25 * 86400
    gpu = Accelerator(
        name="any",
        idle_power=machine.idle_power_w,
        active_idle_power=machine.idle_power_w,
        max_power=1000.0,
        memory_bytes=1e9,
        memory_bandwidth=1e12,
        peak_flops=1e15,
        embodied_carbon_kg=machine.embodied_g_per_s * year_s / 1000,
        server_embodied_carbon_kg=0.0,
        gpus_per_server=1,
        host_power=machine.host_power_w,
        lifetime_years=1.0,
    )
    starts, ends, values = zip(*machine.intensity, strict=True)
    edges = EPOCH.timestamp() + np.array([*starts, ends[-1]])
    seqs, tokens, capacity = (int(min(cap, INT32_MAX)) for cap in case.caps)
    return System(
        accelerator=gpu,
        model=TINY,
        cost=ReferenceCost(case.cost),
        carbon_intensity=Intensity(edges, values),
        kv_capacity_tokens=capacity,
        policy=case.policy,
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        pue=machine.pue,
        provisioning=machine.provisioning,
    )


def judged(
    case: Case, rng: np.random.Generator, provisioning: str, player=None
) -> tuple[games.Served, Workload, System]:
    """The judge's run of the case on a random machine, and the same for carbjax."""
    result = case.simulate()
    machine = random_machine(rng, provisioning, result.begin_s, result.end_s)
    served = games.serve(
        case.requests, case.policy, case.caps, case.cost_fn, machine, player=player
    )
    return served, case_workload(case, player), case_system(case, machine)
