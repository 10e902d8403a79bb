"""The replay game: the schedule that happened is kept, absentees' tokens are removed."""

import copy

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from carbjax._carbon.emissions import Emissions
from carbjax._carbon.footprint import Footprint
from carbjax._games.base import AbstractGame
from carbjax._games.padding import fill_tree, num_seats
from carbjax._serving.batch import measure
from carbjax._serving.buckets import power_of_two
from carbjax._serving.engine import Step
from carbjax._serving.observers import step_emissions
from carbjax._serving.serve import record_steps, timeline_observers
from carbjax._serving.steps import Steps
from carbjax._serving.system import System
from carbjax._serving.whole import run_whole
from carbjax._surrogate.cost import AbstractIterationCost
from carbjax._workload import Workload

_FEWEST_STEPS = 64


class ReplayGame(AbstractGame):
    """v(S) = v(empty) + sum over iterations of c_j(tokens that S brings to iteration j).

    c_j is what iteration j emits, at the mean intensity of when it really ran, and is 0
    where nobody of S takes part (docs/streaming.md). A sum over iterations, so linear
    methods treat it iteration by iteration.
    """

    steps: Steps
    cost: AbstractIterationCost
    footprint: Footprint
    standing: Emissions  # v of the empty coalition
    size: int = eqx.field(static=True)

    def __init__(self, workload: Workload, system: System):
        whole = run_whole(workload, system, timeline_observers(system), pad=True)
        self.footprint, self.cost = system.footprint, system.cost
        self.standing = whole.standing
        steps = record_steps(whole.arrangement.queue(), whole.server)
        self.steps = jax.tree.map(jnp.asarray, steps)
        self.size = workload.num_players

    @property
    def num_players(self) -> int:
        return self.size

    @property
    def kinds(self) -> tuple[int, ...]:
        return tuple(range(self.size))

    def padded(self) -> "ReplayGame":
        """The same game with steps in which nobody takes part, and players of none."""
        game = copy.copy(self)
        number = power_of_two(len(self.steps.num_iterations), least=_FEWEST_STEPS)
        object.__setattr__(game, "steps", fill_tree(self.steps, number))
        object.__setattr__(game, "size", num_seats(self.size))
        return game

    def components(self, coalition: Bool[Array, " players"]) -> Emissions:
        """v by component of the tokens that `coalition` brings to each iteration."""

        def emit(step: Step) -> Emissions:
            batch = step.batch.restrict(coalition[step.player])
            measured = measure(step.num_iterations, batch, self.cost)
            somebody = jnp.any(batch.prefilling | batch.decoding)
            emissions = step_emissions(self.footprint, batch, measured, step.intensity)
            return jax.tree.map(lambda x: jnp.where(somebody, x, 0.0), emissions)

        by_step = jax.vmap(emit)(self.steps)
        return self.standing + jax.tree.map(jnp.sum, by_step)
