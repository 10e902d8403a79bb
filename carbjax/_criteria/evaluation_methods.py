"""The methods of an evaluation, and what is known of each before it runs."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from carbjax._attribution.methods import Method, find_entry, methods
from carbjax._criteria import evaluation_digest as digest
from carbjax._criteria.guard import name_of
from carbjax._errors import InputError

_OWN = "carbjax."


class Effort(NamedTuple):
    """What one attribution of a workload takes, as the guard saw it.

    `num_evaluations`: values of v; `cpu_s`: processor seconds, once it is compiled. None
    where it is unknown.
    """

    num_evaluations: int | None = None
    cpu_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Judged:
    """One method of an evaluation.

    - `given`: what criteria are called with, its name where it has one.
    - `source`: "registry", or the file that it stands in.
    - `reads_table`: whether the values of a game are all that it looks at, so that a
      table of them does as well: carbjax's own methods that enumerate.
    """

    name: str
    given: str | Method
    function: Method
    source: str
    claims: tuple[str, ...]
    exact: bool
    needs_game: bool
    reads_table: bool
    digest: str

    @property
    def is_own(self) -> bool:
        """Whether it is carbjax's own, which every process knows by its name."""
        return isinstance(self.given, str) and _module(self.function).startswith(_OWN)

    @property
    def docstring(self) -> str:
        """The first line of its docstring."""
        lines = (inspect.getdoc(self.function) or "").splitlines()
        return lines[0] if lines else ""


def judged_methods(
    given: Sequence[str | Method] | None, sources: Mapping[str, str]
) -> dict[str, Judged]:
    """The methods by name, all that are registered where none are given.

    `sources` says of names in which file they were registered. Raises `InputError` for a
    name that is unknown or stands twice.
    """
    found = [_judged(method, sources) for method in (given or methods())]
    by_name = {method.name: method for method in found}
    if len(by_name) < len(found):
        names = [method.name for method in found]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"method {twice!r} is given twice.", hint="Give each one once.")
    return by_name


def _judged(method: str | Method, sources: Mapping[str, str]) -> Judged:
    name = name_of(method)
    if isinstance(method, str):
        entry = find_entry(method)
        own = _module(entry.method).startswith(_OWN)
        return Judged(
            name=name,
            given=method,
            function=entry.method,
            source=sources.get(name, "registry"),
            claims=tuple(sorted(entry.claims)),
            exact=entry.exact,
            needs_game=entry.needs_game,
            reads_table=own and entry.exact and entry.needs_game,
            digest=digest.of_method(entry.method),
        )
    return Judged(
        name=name,
        given=method,
        function=method,
        source=_file(method),
        claims=(),
        exact=True,
        needs_game=True,
        reads_table=False,
        digest=digest.of_method(method),
    )


def _module(function: Callable) -> str:
    return getattr(function, "__module__", None) or ""


def _file(function: Callable) -> str:
    try:
        return inspect.getsourcefile(inspect.unwrap(function)) or "python"
    except TypeError:
        return "python"
