"""The two games of a workload: schedule again, or replay what happened."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .carbon import (
    Carbon,
    Machine,
    mean_intensity,
    operational,
    served_carbon,
    split_by_phase,
    standing_carbon,
)
from .features import CostFn, Features, total
from .simulator import Caps, Iteration, Policy, Request, Result, simulate

Window = tuple[float, float]


class Served(NamedTuple):
    """The grand coalition, served; `player[r]` pays for request r."""

    requests: Sequence[Request]
    player: Sequence[int]
    policy: Policy
    caps: Caps
    cost_fn: CostFn
    machine: Machine
    result: Result
    window: Window | None

    @property
    def num_players(self) -> int:
        return max(self.player) + 1


def serve(
    requests: Sequence[Request],
    policy: Policy,
    caps: Caps,
    cost_fn: CostFn,
    machine: Machine,
    *,
    player: Sequence[int] | None = None,
    window: Window | None = None,
) -> Served:
    """The grand coalition's run; by default each request is a player."""
    result = simulate(requests, policy, caps, cost_fn)
    if window is None and result.iterations:
        window = result.begin_s, result.end_s
    owner = list(range(len(requests))) if player is None else player
    return Served(requests, owner, policy, caps, cost_fn, machine, result, window)


def reschedule_components(served: Served, coalition: frozenset[int]) -> Carbon:
    """Carbon of serving only the coalition, in the grand coalition's window."""
    present = [
        request
        for request, player in zip(served.requests, served.player, strict=True)
        if player in coalition
    ]
    result = simulate(present, served.policy, served.caps, served.cost_fn)
    return _in_window(served, result)


def _in_window(served: Served, result: Result) -> Carbon:
    return served_carbon(result, served.machine, served.cost_fn, served.window)


def reschedule_value(served: Served, coalition: frozenset[int]) -> float:
    return reschedule_components(served, coalition).total


def iteration_cost(served: Served, iteration: Iteration, batch: Features):
    """c_j of a batch of somebody: grams that accrue only because iteration j runs.

    Elementwise over numpy arrays. On demand, embodied carbon is among them.
    """
    machine = served.machine
    intensity = mean_intensity(machine, iteration)
    grams = operational(machine, served.cost_fn, intensity, batch)
    if machine.provisioning == "on_demand":
        latency, _ = served.cost_fn(batch)
        grams = grams + machine.embodied_g_per_s * latency
    return grams


def replay_components(served: Served, coalition: frozenset[int]) -> Carbon:
    """Carbon when the absentees' tokens are removed from the batches that really ran."""
    machine = served.machine
    carbon = np.array(standing_carbon(machine, served.window))
    for iteration in served.result.iterations:
        present = [
            p for p in iteration.participants if served.player[p.request] in coalition
        ]
        if not present:
            continue
        intensity = mean_intensity(machine, iteration)
        prefill, decode = split_by_phase(machine, served.cost_fn, intensity, present)
        carbon += np.array([prefill, decode, 0.0, 0.0])
        if machine.provisioning == "on_demand":
            latency, _ = served.cost_fn(total(p.features for p in present))
            carbon[3] += machine.embodied_g_per_s * latency
    return Carbon(*(float(grams) for grams in carbon))


def replay_value(served: Served, coalition: frozenset[int]) -> float:
    return replay_components(served, coalition).total
