"""The Shapley value from as few coalitions as a budget or an accuracy asks for."""

import dataclasses
import functools as ft

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._carbon.emissions import COMPONENTS, Emissions
from carbjax._errors import InputError
from carbjax._estimators.accuracy import missed
from carbjax._estimators.blocks import estimate_by_blocks, separate_blocks
from carbjax._estimators.columns import NUM_COLUMNS, Columns, to_emissions
from carbjax._estimators.control import Control
from carbjax._estimators.controls import choose_control
from carbjax._estimators.enumeration import enumerate_shapley, num_distinct
from carbjax._estimators.one_thread import in_one_thread
from carbjax._estimators.oracle import Oracle
from carbjax._estimators.registry import Entry, find_estimator
from carbjax._estimators.remainder import TOTAL, Draws, Remainder, with_total
from carbjax._estimators.seeds import seed_of
from carbjax._games.base import AbstractGame
from carbjax._games.block_game import BlockGame
from carbjax._games.serving import ServingGame
from carbjax._progress import is_heard, report

_GROWTH = 1.5  # of the budget from look to look at the error


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Estimated Shapley values, and how far they may be off.

    - `emissions`: each player's share by component, `" players"`.
    - `stderr`: standard error of the shares, gCO2e; 0 where they are exact.
    - `num_evaluations`: distinct coalitions whose value was taken, nobody and everybody
      among them.
    - `nobody`, `everybody`: v of both, by component.
    - `flags`: what a reader must know.

    The shares add up to v(all) - v(none), by component too.
    """

    emissions: Emissions
    stderr: Float[np.ndarray, " players"]
    num_evaluations: int
    estimator: str
    control: str
    nobody: Emissions
    everybody: Emissions
    flags: tuple[str, ...] = ()

    @property
    def shares(self) -> Float[np.ndarray, " players"]:
        """gCO2e that each player is responsible for."""
        return np.asarray(self.emissions.total)

    @property
    def components(self) -> dict[str, Float[np.ndarray, " players"]]:
        """The shares by component, gCO2e."""
        return {name: np.asarray(getattr(self.emissions, name)) for name in COMPONENTS}


def estimate_shapley(
    v: AbstractGame,
    *,
    budget: int,
    accuracy: float | None = None,
    estimator: str = "auto",
    control: str | Control = "auto",
    key: PRNGKeyArray | None = None,
) -> Estimate:
    """Shapley values of `v` from at most `budget` of its values, with standard errors.

    - `budget`: distinct coalitions that may be evaluated, v(all) and v(none) included.
      Where it pays for all of them the answer is exact.
    - `accuracy`: stop as soon as no share's standard error is above this part of the
      mean share.
    - `estimator`, `control`: names, as in docs/estimators.md; a `Control` of one's own.
    - `key`: of all that is random; without one always the same.

    Players of one kind get equal shares. Raises `InputError` where the budget is too
    small for the estimator, a name is unknown, or a value of `v` is not finite.
    """
    name, entry = find_estimator(estimator, budget)
    _require(v, budget, accuracy)
    whole = budget >= num_distinct(v.kinds)
    if not whole and isinstance(v, ServingGame) and isinstance(control, str):
        blocks = separate_blocks(v)
        if len(blocks) > 1:
            each = ft.partial(
                _of_block, budget=budget, estimator=estimator, control=control, key=key
            )
            found = estimate_by_blocks(v, blocks, budget, accuracy, each)
            return Estimate(**found._asdict())
    oracle = Oracle(v, budget)
    if whole:
        return _estimate(oracle, enumerate_shapley(oracle), None, "exact", "none")
    chosen = choose_control(control, oracle, budget, entry.least(v.num_players))
    _require_enough(name, entry, budget, v.num_players)
    remainder = Remainder(oracle, chosen)
    spent = max(oracle.num_evaluations - 2, 0)
    draws, error = _draw(entry, remainder, oracle, budget - spent, accuracy, seed_of(key))
    shares = draws.shares[:, :NUM_COLUMNS] + chosen.shapley()
    flags = missed(error, accuracy)
    return _estimate(oracle, shares, draws, name, chosen.name, flags)


def _of_block(game: BlockGame, accuracy: float | None, **asked) -> Estimate:
    return estimate_shapley(game, accuracy=accuracy, **asked)


def _draw(
    entry: Entry,
    remainder: Remainder,
    oracle: Oracle,
    budget: int,
    accuracy: float | None,
    seed: list[int],
) -> tuple[Draws, float]:
    """What the estimator finds, looked at now and then if somebody wants to know.

    Draws are nested and values kept, so looking costs no evaluations.
    """
    least = entry.least(remainder.num_players)
    if budget < least:
        raise _too_small(budget, least, remainder.num_players)
    looking = accuracy is not None or is_heard()
    now = min(2 * max(least, remainder.num_players), budget) if looking else budget
    while True:
        with in_one_thread(now // 2):
            draws = entry.estimator(remainder, now, np.random.default_rng(seed))
        error = _relative_error(draws, oracle)
        report(f"evaluations (error {error:.1%})", oracle.num_evaluations, budget)
        if now == budget or (accuracy is not None and error <= accuracy):
            return draws, error
        now = min(int(now * _GROWTH) + 1, budget)


def _estimate(
    oracle: Oracle,
    shares: Columns,
    draws: Draws | None,
    estimator: str,
    control: str,
    flags: tuple[str, ...] = (),
) -> Estimate:
    """Equal players get equal shares, and rounding is not left over."""
    nobody, everybody = oracle.nobody, oracle.everybody
    _, kind = np.unique(np.asarray(oracle.game.kinds), return_inverse=True)
    members = np.bincount(kind)
    shares = _mean_of_kind(shares, kind, members)
    shares += (everybody - nobody - shares.sum(axis=0)) / len(shares)
    stderr = np.zeros(len(shares))
    if draws is not None:
        variance = _mean_of_kind(draws.stderr**2, kind, members)
        stderr = np.sqrt(variance[:, TOTAL])
    return Estimate(
        to_emissions(shares),
        stderr,
        oracle.num_evaluations,
        estimator,
        control,
        to_emissions(nobody),
        to_emissions(everybody),
        flags,
    )


def _mean_of_kind(columns: np.ndarray, kind: np.ndarray, members: np.ndarray) -> np.ndarray:
    sums = np.zeros((len(members), columns.shape[1]))
    np.add.at(sums, kind, columns)
    return (sums / members[:, None])[kind]


def _relative_error(draws: Draws, oracle: Oracle) -> float:
    """The largest standard error over the mean share."""
    worth = with_total(oracle.everybody - oracle.nobody)[TOTAL]
    largest = float(draws.stderr[:, TOTAL].max())
    mean = abs(float(worth)) / len(draws.shares)
    return largest / mean if mean > 0 else (np.inf if largest > 0 else 0.0)


def _require(v: AbstractGame, budget: int, accuracy: float | None) -> None:
    if v.num_players < 1:
        raise InputError("the game has no players.", hint="Give a game with at least one.")
    if budget < 2:
        raise InputError(
            f"`budget` is {budget}.", hint="v(all) and v(none) alone take 2 evaluations."
        )
    if accuracy is not None and not accuracy > 0:
        raise InputError(
            f"`accuracy` is {accuracy}.",
            hint="Give a part of the mean share, such as 0.01.",
        )


def _require_enough(name: str, entry: Entry, budget: int, num_players: int) -> None:
    least = entry.least(num_players)
    if budget < least:
        raise InputError(
            f"`budget` is {budget}; estimator {name!r} needs {least} for {num_players} "
            "players.",
            hint="Give more, or use estimator='odd', which needs 4.",
        )


def _too_small(budget: int, least: int, num_players: int) -> InputError:
    return InputError(
        f"the control leaves {budget} of the budget; {num_players} players need {least}.",
        hint="Give more, or use control='none'.",
    )
