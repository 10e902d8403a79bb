"""How many values of v an estimate takes to be near the truth."""

import dataclasses
import functools as ft
import math

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from numpy.typing import ArrayLike

from carbjax._attribution.methods import Method
from carbjax._criteria.budget_search import Search, Tried, budget_grid
from carbjax._criteria.counting import CountedGame, Tally
from carbjax._criteria.default_estimates import DefaultEstimates
from carbjax._criteria.guard import Refusal, run_guarded
from carbjax._criteria.tabulate import Tabulated, table_shapley, tabulate
from carbjax._criteria.trials import Sampler, Trials, named_sampler
from carbjax._errors import InputError
from carbjax._estimators.control import Control
from carbjax._estimators.enumeration import num_distinct
from carbjax._estimators.registry import find_estimator
from carbjax._games.base import AbstractGame
from carbjax._games.replay import ReplayGame
from carbjax._games.serving import ServingGame
from carbjax._serving.serve import Timeline
from carbjax._serving.system import System
from carbjax._workload import Workload

_LARGEST_TABLE = 16  # players
_RATIO = 1.25
_CLOSED_FORM = ("auto", "closed_form")


@dataclasses.dataclass(frozen=True)
class SampleEfficiency:
    """`N_eps = min {N: P(|estimate_i - phi_i| <= eps for all i) >= 1 - alpha}`.

    - `num_evaluations`: N_eps, the least budget tried at which the part of runs that were
      near enough is 1 - alpha; infinite where no budget was enough.
    - `lower`, `upper`: budgets between which it lies: below `lower` the chance is less
      than 1 - alpha, from `upper` on it is more, each with the confidence of `level`.
    - `eps_g`: gCO2e.
    - `tried`: budgets, runs and successes.
    - `estimator`: or the method, then `num_evaluations` is what it takes.
    """

    estimator: str
    num_evaluations: float
    lower: float
    upper: float
    eps_g: float
    alpha: float
    level: float
    tried: tuple[Tried, ...] = ()


def sample_efficiency(
    v: AbstractGame,
    *,
    estimator: str | Sampler = "auto",
    eps: float = 0.05,
    relative: bool = True,
    alpha: float = 0.1,
    control: str | Control = "auto",
    repeats: int = 40,
    level: float = 0.9,
    least: int | None = None,
    most: int | None = None,
    truth: ArrayLike | None = None,
    key: PRNGKeyArray | None = None,
) -> SampleEfficiency:
    """The fewest values of `v` from which all players' shares are within `eps`.

    - `estimator`, `control`: as of `carbjax.estimate_shapley`; `estimator` may be a
      function of (game, budget, key) that returns shares.
    - `eps`: a part of the mean share, or gCO2e with `relative=False`.
    - `alpha`: the chance of a run in which somebody's share is further off.
    - `repeats`: seeded runs a budget. To be sure of a chance of 0.9 with confidence 0.9
      takes at least 29 successes in a row; below that `upper` is where all is known.
    - `least`, `most`: budgets to search between; by default from what the estimator
      needs to all coalitions, where it is exact.
    - `truth`: the Shapley value, gCO2e, `" players"`; needed beyond 16 players.

    Budgets lie on a grid of steps of 1.25. Raises `InputError` where the truth is not
    known, or a budget, a probability or the estimator cannot be used.
    """
    return sample_efficiencies(
        v,
        (eps,),
        estimator=estimator,
        relative=relative,
        alpha=alpha,
        control=control,
        repeats=repeats,
        level=level,
        least=least,
        most=most,
        truth=truth,
        key=key,
    )[0]


def sample_efficiencies(
    v: AbstractGame,
    eps: tuple[float, ...],
    *,
    estimator: str | Sampler = "auto",
    relative: bool = True,
    alpha: float = 0.1,
    control: str | Control = "auto",
    repeats: int = 40,
    level: float = 0.9,
    least: int | None = None,
    most: int | None = None,
    truth: ArrayLike | None = None,
    table: Tabulated | None = None,
    key: PRNGKeyArray | None = None,
) -> list[SampleEfficiency]:
    """As `sample_efficiency`, for several `eps` from the same runs.

    `truth` is gCO2e, `" players"`; `table`: `v` tabulated, where it is known already.
    Raises `InputError` likewise.
    """
    _require(eps, alpha, repeats, level)
    if table is None and v.num_players <= _LARGEST_TABLE:
        table = tabulate(v)
    true = _true_shares(v, table, truth)
    name, sampler, needed = _sampler(estimator, control, v, table, most)
    key = jax.random.key(0) if key is None else key
    trials = Trials(v if table is None else table, sampler, true, key)
    exact = num_distinct(v.kinds)
    top = exact if most is None else min(most, exact)
    grid = budget_grid(min(max(least or 0, needed), top), top, _RATIO)
    searched = ft.partial(
        Search,
        trials,
        grid,
        chance=1 - alpha,
        repeats=repeats,
        level=level,
        exact=exact if isinstance(estimator, str) else None,
    )
    unit_g = _mean_share(true) if relative else 1.0
    return [_found(name, searched(eps_g=each * unit_g), alpha) for each in eps]


def _true_shares(
    v: AbstractGame, table: Tabulated | None, truth: ArrayLike | None
) -> Float[np.ndarray, " players"]:
    """What is given, else the exact Shapley value, gCO2e."""
    if truth is None:
        if table is None:
            raise InputError(
                f"{v.num_players} players are too many to know the truth.",
                hint=f"Give `truth=`, or at most {_LARGEST_TABLE} players.",
            )
        truth = table_shapley(table)
    true = np.asarray(truth, float)
    if true.shape != (v.num_players,) or not np.isfinite(true).all():
        raise InputError(f"`truth` has shape {true.shape}, or is not finite.")
    return true


def _mean_share(true: Float[np.ndarray, " players"]) -> float:
    return abs(float(true.sum())) / len(true)


def method_efficiency(
    method: str | Method,
    v: AbstractGame,
    *,
    eps: float = 0.05,
    relative: bool = True,
    truth: ArrayLike | None = None,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> tuple[int, bool] | Refusal:
    """How many values of `v` a method takes, counted, and whether it then is within eps.

    0 for methods that look at the run alone. `truth` is gCO2e, `" players"`, by default
    the exact Shapley value; `eps` a part of the mean share, or gCO2e with
    `relative=False`. Raises `InputError` for a method that is not known; what a method
    raises comes back as a `Refusal`.
    """
    game = tabulate(v)
    true = np.asarray(table_shapley(game) if truth is None else truth, float)
    tally = Tally()
    found = run_guarded(
        method,
        workload=workload,
        system=system,
        game=CountedGame(game, tally),
        timeline=timeline,
        key=key,
        twice=False,
    )
    if isinstance(found, Refusal):
        return found
    scale = _mean_share(true) if relative else 1.0
    near = bool(np.abs(found.shares - true).max() <= eps * scale)
    return tally.num_evaluations, near


def _found(name: str, search: Search, alpha: float) -> SampleEfficiency:
    observed, lower, upper = (
        math.inf if budget is None else float(budget)
        for budget in (search.observed(), search.lower(), search.upper())
    )
    return SampleEfficiency(
        name, observed, lower, upper, search.eps_g, alpha, search.level, search.tried
    )


def _sampler(
    estimator: str | Sampler,
    control: str | Control,
    v: AbstractGame,
    table: Tabulated | None,
    most: int | None,
) -> tuple[str, Sampler, int]:
    """Its name, the function, and the least budget that it takes."""
    if not isinstance(estimator, str):
        return getattr(estimator, "__name__", "estimator"), estimator, 2
    players = v.num_players
    name, entry = find_estimator(estimator, most or 2 ** min(players, 30))
    least = entry.least(players) + (players if control == "stand_alone" else 0)
    if isinstance(v, ServingGame | ReplayGame) and control in _CLOSED_FORM:
        return name, DefaultEstimates(v, table, estimator), least
    return name, named_sampler(estimator, control), least


def _require(eps: tuple[float, ...], alpha: float, repeats: int, level: float) -> None:
    for name, value, fine in (
        ("eps", eps, all(0 < e < math.inf for e in eps)),
        ("alpha", alpha, 0 < alpha < 1),
        ("repeats", repeats, repeats >= 1),
        ("level", level, 0 < level < 1),
    ):
        if not fine:
            raise InputError(
                f"`{name}` is {value}.",
                hint="Give eps above 0, alpha and level between 0 and 1, one run or more.",
            )
