"""The registry of attribution methods."""

import difflib
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


class _Entry(NamedTuple):
    method: Method
    needs_game: bool


_ENTRIES: dict[str, _Entry] = {}


def register_method(name: str, method: Method, *, needs_game: bool = True) -> None:
    """Makes `method` available by name to `attribute`, tests, criteria and tables.

    A method that works from workload and system alone says `needs_game=False`, and is
    given `game=None` by `attribute`. Raises `InputError` where the name is taken.
    """
    if name in _ENTRIES:
        raise InputError(f"a method {name!r} is registered.", hint="Choose another name.")
    _ENTRIES[name] = _Entry(method, needs_game)


def methods() -> dict[str, Method]:
    """The registered methods by name."""
    return {name: entry.method for name, entry in _ENTRIES.items()}


def needs_game(name: str) -> bool:
    """Whether the method evaluates coalitions."""
    return _find(name).needs_game


def find_method(name: str) -> Method:
    """The method of this name, or `InputError` with the known ones."""
    return _find(name).method


def _find(name: str) -> _Entry:
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
    return game


def _lacking(name: str, what: str) -> InputError:
    return InputError(
        f"method {name!r} needs {what}.",
        hint="Use `carbjax.attribute(workload, system, method=...)`, which gives all.",
    )
