"""The judge's random cases as the engine takes them."""

import functools as ft

import jax.numpy as jnp
import numpy as np

from carbjax._serving.policies import Caps
from carbjax._serving.queue import Queue, make_queue
from carbjax._surrogate.cost import AbstractIterationCost
from tests.reference import costs
from tests.reference.workloads import Case


class ReferenceCost(AbstractIterationCost):
    """The judge's cost function, evaluated by jax."""

    latency: dict
    energy: dict

    def __init__(self, parameters: costs.CostParameters):
        self.latency = {name: jnp.asarray(x) for name, x in parameters.latency.items()}
        self.energy = {name: jnp.asarray(x) for name, x in parameters.energy.items()}

    def token_part(self, num_tokens):
        return self._both(costs.token_part, num_tokens)

    def sequence_part(self, num_sequences):
        return self._both(costs.sequence_part, num_sequences)

    def attention_part(self, *features):
        return self._both(ft.partial(costs.attention_part, xp=jnp), *features)

    def operator_costs(self, features):
        latency, energy = self(features)
        return {"iteration": (latency, energy / latency)}

    def _both(self, part, *features):
        return tuple(part(c, *features) for c in (self.latency, self.energy))


def case_caps(case: Case) -> Caps:
    limits = [min(x, 2**31 - 1) for x in case.caps]
    return Caps(*(jnp.asarray(int(x)) for x in limits))


def case_queue(case: Case, *, continuous: bool = False) -> tuple[Queue, np.ndarray]:
    """The case's queue, sorted by (arrival, index), and that order."""
    arrival = np.array([r.arrival_s for r in case.requests])
    tokens = np.array([r[1:] for r in case.requests], float if continuous else int)
    order = np.argsort(arrival, kind="stable")
    present = jnp.ones(len(order), bool)
    queue = make_queue(
        present,
        jnp.asarray(arrival[order]),
        jnp.asarray(tokens[order, 0]),
        jnp.asarray(tokens[order, 1]),
    )
    return queue, order


def pad_queue(queue: Queue, size: int) -> Queue:
    """The queue with null players added, so that sizes share compiled code."""
    extra = size - len(queue.arrival)
    grown = [jnp.pad(x, (0, extra)) for x in (queue.arrival, queue.prefill, queue.decode)]
    counts = queue.reservation.dtype
    present = jnp.pad(queue.present, (0, extra))
    return make_queue(present, grown[0], grown[1].astype(counts), grown[2].astype(counts))
