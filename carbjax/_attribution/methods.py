"""The registry of attribution methods."""

import difflib
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame
from carbjax._serving.serve import Timeline
from carbjax._serving.system import System
from carbjax._workload import Workload


class Method(Protocol):
    """An attribution method. What it does not need may be left out by the caller."""

    def __call__(
        self,
        game: AbstractGame | None,
        *,
        workload: Workload | None = None,
        system: System | None = None,
        timeline: Timeline | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Attribution: ...


OfRun = Callable[[Workload, System], tuple[Attribution, Timeline]]
"""A method that runs the workload itself: what it finds, and the timeline of that run."""

AXIOMS = ("efficiency", "symmetry", "null_player", "linearity")


class Entry(NamedTuple):
    """A registered method, and what it claims of itself."""

    method: Method
    needs_game: bool
    claims: frozenset[str] = frozenset()
    exact: bool = True
    of_run: OfRun | None = None


_ENTRIES: dict[str, Entry] = {}


def register_method(
    name: str,
    method: Method,
    *,
    needs_game: bool = True,
    claims: Iterable[str] = (),
    exact: bool = True,
    of_run: OfRun | None = None,
) -> None:
    """Makes `method` available by name to `attribute`, tests, criteria and tables.

    - `needs_game`: a method that works from workload and system alone says False, and is
      given `game=None` by `attribute`.
    - `claims`: which axioms it keeps, of

      - "efficiency": shares add up to v(all) - v(none);
      - "symmetry": players that v does not tell apart get equal shares;
      - "null_player": who changes no coalition's value gets nothing;
      - "linearity": the shares of a sum of games are sums of their shares.

    - `exact`: False where it keeps them within its `stderr` alone.
    - `of_run`: `of_run(workload, system)` is what `attribute` calls instead of `method`,
      where the method runs the workload itself: its attribution, and the timeline of the
      same run, so that nothing is served twice.

    `check_claims(name)` puts the claims to the test. Raises `InputError` where the name
    is taken or an axiom is unknown.
    """
    if name in _ENTRIES:
        raise InputError(f"a method {name!r} is registered.", hint="Choose another name.")
    unknown = [axiom for axiom in claims if axiom not in AXIOMS]
    if unknown:
        raise InputError(
            f"method {name!r} claims {unknown[0]!r}.",
            hint=f"Choose of {', '.join(AXIOMS)}.",
        )
    _ENTRIES[name] = Entry(method, needs_game, frozenset(claims), exact, of_run)


def methods() -> dict[str, Method]:
    """The registered methods by name."""
    return {name: entry.method for name, entry in _ENTRIES.items()}


def needs_game(name: str) -> bool:
    """Whether the method evaluates coalitions."""
    return find_entry(name).needs_game


def find_method(name: str) -> Method:
    """The method of this name, or `InputError` with the known ones."""
    return find_entry(name).method


def find_entry(name: str) -> Entry:
    """The entry of this name, or `InputError` with the known ones."""
    if name not in _ENTRIES:
        near = difflib.get_close_matches(name, _ENTRIES, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        known = ", ".join(sorted(_ENTRIES))
        raise InputError(f"there is no method {name!r}.", hint=f"{guess}Known: {known}.")
    return _ENTRIES[name]


def require_run(
    name: str, workload: Workload | None, system: System | None
) -> tuple[Workload, System]:
    """What the method `name` needs to look at the run, or `InputError` if it is missing."""
    if workload is None or system is None:
        raise _lacking(name, "`workload` and `system`")
    return workload, system


def require_game(name: str, game: AbstractGame | None) -> AbstractGame:
    """What the method `name` needs to value coalitions, or `InputError`."""
    if game is None:
        raise _lacking(name, "`game`")
    if game.num_players < 1:
        raise InputError(
            f"method {name!r}: the game has no players.",
            hint="Give a game with at least one.",
        )
    return game


def _lacking(name: str, what: str) -> InputError:
    return InputError(
        f"method {name!r} needs {what}.",
        hint="Use `carbjax.attribute(workload, system, method=...)`, which gives all.",
    )
