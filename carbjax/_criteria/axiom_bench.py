"""One method on many small workloads, whatever it looks at."""

import dataclasses
import datetime as dt
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import Method, needs_game
from carbjax._carbon.intensity import MAX_INTENSITY, Intensity
from carbjax._criteria.guard import Refusal, run_guarded
from carbjax._criteria.small_workloads import Request, Units, to_workload, units_of
from carbjax._criteria.tabulate import Tabulated, from_values, tabulate
from carbjax._games.base import AbstractGame
from carbjax._games.serving import ServingGame
from carbjax._serving.serve import Timeline, serve
from carbjax._serving.system import System
from carbjax._workload import Workload

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)  # where floats tell seconds apart
_FEW_REQUESTS = 6
FAR_S = 864000.0  # after all that happens


class Refused(Exception):
    """A method's answer on one workload cannot be judged."""

    def __init__(self, refusal: Refusal):
        super().__init__(str(refusal))
        self.refusal = refusal


class Run(NamedTuple):
    """What a method is given of one workload."""

    workload: Workload
    system: System
    timeline: Timeline
    game: Tabulated | None

    @property
    def net_g(self) -> float:
        """gCO2e to be shared, v(all) - v(none)."""
        return self.timeline.carbon_g - float(self.timeline.standing.total)

    @property
    def scale_g(self) -> float:
        """The mean share, gCO2e."""
        return abs(self.net_g) / self.workload.num_players


class Bench:
    """A method, and the system that it is tried on.

    `route` says what it looks at: "game" where a bare game is enough, "timeline" where it
    goes by the timeline that it is given, "run" where it serves the workload itself.
    """

    def __init__(self, method: str | Method, system: System, key: PRNGKeyArray | None):
        self.method, self.key = method, key
        self.intensity_g = _mean_intensity(system.carbon_intensity)
        self.system = system_with(system, self.intensity_g, self.intensity_g, FAR_S)
        self.needs_game = True
        self.route = self._find_route()

    def run(self, units: Units, system: System | None = None) -> Run:
        """The workload of these players, served, with its game if the method wants one."""
        system = self.system if system is None else system
        workload = to_workload(units, EPOCH)
        game = _game(units, system) if self.needs_game else None
        return Run(workload, system, serve(workload, system), game)

    def rerun(self, run: Run, system: System) -> Run:
        """The same players on another system."""
        return self.run(units_of(run.workload), system)

    def charge(self, run: Run) -> Attribution:
        """The method on a run. Raises `Refused`."""
        return self._sane(
            run_guarded(
                self.method,
                workload=run.workload,
                system=run.system,
                game=run.game,
                timeline=run.timeline,
                key=self.key,
                twice=False,
                closed=False,
            )
        )

    def charge_game(self, game: AbstractGame) -> Attribution:
        """The method on a bare game. Raises `Refused`."""
        return self._sane(
            run_guarded(self.method, game=game, key=self.key, twice=False, closed=False)
        )

    def at(self, before: float, after: float, when_s: float) -> System:
        """The system on a grid that changes at an instant, gCO2e/kWh."""
        return system_with(self.system, before, after, when_s)

    def _sane(self, found: Attribution | Refusal) -> Attribution:
        if isinstance(found, Refusal):
            raise Refused(found)
        return found

    def _find_route(self) -> str:
        if self._accepts_bare_game():
            return "game"
        if isinstance(self.method, str):
            self.needs_game = needs_game(self.method)
        run = self.run(((Request(0.0, 64, 8),), (Request(0.0, 8, 64),)))
        try:
            once = self.charge(run).shares.sum()
            doubled = run._replace(timeline=_doubled(run.timeline))
            twice = self.charge(doubled).shares.sum()
        except Refused:
            return "run"
        return "timeline" if twice > 1.5 * once else "run"

    def _accepts_bare_game(self) -> bool:
        if isinstance(self.method, str) and not needs_game(self.method):
            return False
        try:
            self.charge_game(from_values(np.array([0.0, 1.0, 2.0, 2.5])))
        except Refused:
            return False
        return True


def system_with(system: System, before: float, after: float, when_s: float) -> System:
    """The system on a grid of two intensities (g/kWh) and nothing else changed."""
    edges_s = np.array([-FAR_S, when_s, when_s + FAR_S])
    series = Intensity(edges_s, [before, after])
    return dataclasses.replace(system, carbon_intensity=series, surrogate=None)


def part_game(game: Tabulated, columns: tuple[int, ...]) -> Tabulated | None:
    """Those columns of the values alone; None where no coalition changes them."""
    kept = np.zeros(5)
    kept[list(columns)] = 1
    values = np.asarray(game.columns) * kept
    if not np.ptp(values, axis=0).any():
        return None
    return Tabulated(jnp.asarray(values), game.kind)


def sum_games(one: Tabulated, other: Tabulated) -> Tabulated:
    """The game of both values added."""
    return Tabulated(one.columns + other.columns, one.kind)


def largest_gap(
    one: Float[np.ndarray, " players"], other: Float[np.ndarray, " players"]
) -> float:
    """The most that a player's two bills differ, gCO2e."""
    return float(np.abs(one - other).max())


def _game(units: Units, system: System) -> Tabulated:
    """The game's table. Null players fill the workload up, so that few sizes compile."""
    players = len(units)
    missing = _FEW_REQUESTS - sum(map(len, units))
    nulls = ((Request(FAR_S / 2, 0, 0),),) * max(missing, 0)
    whole = tabulate(ServingGame(to_workload(units + nulls, EPOCH), system))
    return Tabulated(whole.columns[: 2**players], tuple(range(players)))


def _mean_intensity(series: Intensity) -> float:
    if series.is_constant:
        return float(series.values[0])
    mean = np.average(series.values, weights=np.diff(series.edges_s))
    return float(min(mean, MAX_INTENSITY))


def _doubled(timeline: Timeline) -> Timeline:
    emissions = jax.tree.map(lambda x: 2 * x, timeline.emissions)
    standing = jax.tree.map(lambda x: 2 * x, timeline.standing)
    return dataclasses.replace(timeline, emissions=emissions, standing=standing)
