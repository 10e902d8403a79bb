"""Seeded random workloads, systems and machines that reach the odd corners."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .carbon import Machine
from .costs import CostParameters, cost_function, random_cost
from .features import CostFn
from .simulator import POLICIES, Caps, Policy, Request, Result, simulate


class Case(NamedTuple):
    requests: list[Request]
    policy: Policy
    caps: Caps
    cost: CostParameters

    @property
    def cost_fn(self) -> CostFn:
        return cost_function(self.cost)

    def simulate(self) -> Result:
        return simulate(self.requests, self.policy, self.caps, self.cost_fn)


def cases(
    seed: int, count: int, *, max_requests: int = 12, max_answer: int = 1000
) -> Iterator[Case]:
    """Random cases, the policies in turn, none decided by rounding.

    An arrival within 1e-6 of an iteration's end, in terms of the clock, would be
    visible or not by the last bits of a sum: such cases are drawn again.
    """
    rng = np.random.default_rng(seed)
    made = 0
    while made < count:
        case = random_case(rng, POLICIES[made % 3], max_requests, max_answer)
        if closest_call(case.requests, case.simulate()) > 1e-6:
            made += 1
            yield case


def random_case(
    rng: np.random.Generator, policy: Policy, max_requests: int, max_answer: int
) -> Case:
    requests = random_requests(rng, int(rng.integers(1, max_requests + 1)), max_answer)
    return Case(requests, policy, random_caps(rng, requests), random_cost(rng))


def random_requests(rng: np.random.Generator, count: int, max_answer: int) -> list[Request]:
    """Bursts, streams and sparse arrivals; one request in ten asks for nothing."""
    gap = float(rng.choice([0.0, 0.003, 0.05, 1.0, 100.0]))
    arrivals = rng.uniform(-5.0, 5.0) + np.cumsum(rng.exponential(gap, count))
    shared = rng.random(count) < 0.3
    for i in range(1, count):
        arrivals[i] = arrivals[i - 1] if shared[i] else arrivals[i]
    rng.shuffle(arrivals)
    return [
        Request(float(arrival), *_random_tokens(rng, max_answer)) for arrival in arrivals
    ]


def _random_tokens(rng: np.random.Generator, max_answer: int) -> tuple[int, int]:
    if rng.random() < 0.1:
        return 0, 0
    prompts = [0, 1, rng.integers(2, 20), rng.integers(20, 500), rng.integers(500, 4000)]
    answers = [0, 1, 2, rng.integers(2, 40), rng.integers(2, 40), max_answer]
    prompt = rng.choice(np.array(prompts), p=[0.1, 0.1, 0.3, 0.3, 0.2])
    answer = rng.choice(np.array(answers), p=[0.1, 0.15, 0.1, 0.3, 0.3, 0.05])
    return int(prompt), int(min(answer, max_answer))


def random_caps(rng: np.random.Generator, requests: list[Request]) -> Caps:
    """From one request at a time to no limit at all."""
    largest = max(1, *(request.reserved_tokens for request in requests))
    capacity = rng.choice([largest, largest * rng.uniform(1, 3), math.inf])
    budget = rng.choice(np.array([1, rng.integers(2, 9), rng.integers(9, 300), 2048]))
    seldom_tiny = max(int(budget), 64) if largest > 1500 else int(budget)
    return Caps(
        int(rng.integers(1, 9)),
        seldom_tiny,
        capacity if math.isinf(capacity) else int(capacity),
    )


def closest_call(requests: list[Request], result: Result) -> float:
    """The least distance of an arrival to an iteration's end, over the clock's range.

    Arrivals at which an iteration starts after idling are exact, and not counted.
    """
    ends = np.array([iteration.end_s for iteration in result.iterations])
    starts = {iteration.start_s for iteration in result.iterations} - set(ends.tolist())
    distances = [
        np.abs(ends - request.arrival_s).min(initial=math.inf)
        for request in requests
        if not request.is_null and request.arrival_s not in starts
    ]
    clock = max((result.end_s - result.begin_s), 1e-9) if len(ends) else 1.0
    return float(min(distances, default=math.inf)) / clock


def random_machine(
    rng: np.random.Generator, provisioning: str, start_s: float, end_s: float
) -> Machine:
    """Intensity that changes about ten times over the run and holds long after it."""
    span = max(end_s - start_s, 1e-3)
    changes = start_s + np.sort(rng.uniform(0.0, 1.2 * span, 10))
    edges = [start_s - 1.0, *changes.tolist(), end_s + 1e6]
    pieces = tuple(
        (low, high, float(rng.uniform(50.0, 800.0)))
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    )
    return Machine(
        idle_power_w=float(rng.uniform(40.0, 100.0)),
        host_power_w=float(rng.uniform(0.0, 100.0)),
        pue=float(rng.uniform(1.0, 1.6)),
        intensity=pieces,
        embodied_g_per_s=float(rng.uniform(0.0, 2e-3)),
        provisioning="always_on" if provisioning == "always_on" else "on_demand",
    )
