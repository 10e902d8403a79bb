"""What all tasks of an evaluation share: workloads, their runs and their games."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._criteria.counting import CountedGame, Tally
from carbjax._criteria.cuts import Cut
from carbjax._criteria.evaluation_methods import Judged
from carbjax._criteria.guard import Refusal, run_guarded
from carbjax._criteria.tabulate import Tabulated, table_shapley, tabulate
from carbjax._games.base import AbstractGame
from carbjax._games.serving import ServingGame
from carbjax._serving.serve import Timeline, serve
from carbjax._serving.system import System


@dataclasses.dataclass(frozen=True)
class Case:
    """One workload served, its game by all values, and the exact Shapley value."""

    timeline: Timeline
    game: ServingGame
    table: Tabulated

    @functools.cached_property
    def truth(self) -> Float[np.ndarray, " players"]:
        """gCO2e."""
        return table_shapley(self.table)

    @property
    def mean_g(self) -> float:
        """The mean true share, gCO2e."""
        return abs(float(self.truth.sum())) / len(self.truth)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the criteria are asked for; see `evaluate`."""

    eps: tuple[float, ...]
    estimators: tuple[str, ...]
    alpha: float
    repeats: int
    level: float
    seed: int
    limit_s: float | None


class Recount(Tally):
    """A tally that can start again: a program that tells another one is compiled anew."""

    def restart(self) -> None:
        self._seen.clear()


class Bench:
    """Workloads on a system. Each is served and tabulated once, when it is first needed."""

    def __init__(
        self,
        methods: Mapping[str, Judged],
        cuts: Sequence[Cut],
        system: System,
        settings: Settings,
    ):
        self.methods, self.cuts = methods, cuts
        self.system, self.settings = system, settings
        self._cases: dict[int, Case] = {}
        self._tallies: dict[str, Recount] = {}
        self._charged: dict[tuple[str, int], Attribution | Refusal] = {}

    @property
    def key(self) -> PRNGKeyArray:
        return jr.key(self.settings.seed)

    def case(self, index: int) -> Case:
        """The workload of that index, served."""
        if index not in self._cases:
            workload = self.cuts[index].workload
            game = ServingGame(workload, self.system)
            timeline = serve(workload, self.system)
            self._cases[index] = Case(timeline, game, tabulate(game))
        return self._cases[index]

    def charged(self, method: Judged, index: int) -> Attribution | Refusal:
        """As `charge`, asked once for all criteria."""
        place = method.name, index
        if place not in self._charged:
            self._charged[place] = self.charge(method, index)
        return self._charged[place]

    def charge(
        self,
        method: Judged,
        index: int,
        *,
        game: AbstractGame | None = None,
        key: PRNGKeyArray | None = None,
        twice: bool = False,
    ) -> Attribution | Refusal:
        """The method on a workload, or what is wrong with it."""
        case = self.case(index)
        if game is None and method.needs_game:
            game = case.table if method.reads_table else case.game
        return run_guarded(
            method.given,
            workload=self.cuts[index].workload,
            system=self.system,
            game=game,
            timeline=case.timeline,
            key=self.key if key is None else key,
            twice=twice,
        )

    def count(
        self, method: Judged, index: int, key: PRNGKeyArray | None = None
    ) -> tuple[Attribution | Refusal, int]:
        """As `charge`, and how many values of v were taken."""
        if not method.needs_game:
            if key is None:
                return self.charged(method, index), 0
            return self.charge(method, index, key=key), 0
        tally = self._tallies.setdefault(method.name, Recount())
        tally.restart()
        game = CountedGame(self.case(index).table, tally)
        found = self.charge(method, index, game=game, key=key)
        jax.effects_barrier()
        return found, tally.num_evaluations
