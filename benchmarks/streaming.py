"""Streaming attribution of a long trace, beside a simulator that only serves it."""

from collections.abc import Iterator

import carbjax as cj
from benchmarks._inputs import requests, system as make_system
from benchmarks._limits import trip_s
from benchmarks._rows import Row, best_seconds
from benchmarks._simulator import Simulator
from carbjax._serving.continuous import StepCount
from carbjax._serving.whole import run_whole

_REQUESTS, _FEW_REQUESTS = 19_366, 40
_SIMULATED = 400  # the simulator looks at all who wait, so more would be unfair to it


def rows(quick: bool) -> Iterator[Row]:
    """Requests a second of `attribute` and of `serve`, compiled before."""
    system = make_system()
    workload = requests(_FEW_REQUESTS if quick else _REQUESTS)
    count = workload.num_requests
    simulator = Simulator(workload.select(slice(0, 10 if quick else _SIMULATED)), system)
    peer = simulator.requests_per_s()
    whole = run_whole(workload, system, (StepCount(),), pad=True)
    alone = int(whole.accounts[0].totals) * trip_s(system, 1)
    calls = {
        "streaming": lambda: cj.attribute(workload, system).shares,
        "serve": lambda: cj.serve(workload, system).finish_s,
    }
    for name, call in calls.items():
        seconds = best_seconds(call, repeats=1)
        yield Row(
            path="streaming" if name == "streaming" else "serving",
            measured=f"`{'attribute' if name == 'streaming' else name}` of {count:,} "
            f"requests, {seconds:.2f} s",
            value=count / seconds,
            unit="requests/s",
            peer="per-iteration simulator, serving alone",
            ratio=count / seconds / peer,
            limit="dispatch: the cost alone, as many steps",
            of_limit=alone / seconds,
        )
