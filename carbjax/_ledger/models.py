"""Which model each backend serves, and with which system."""

import difflib
from collections.abc import Mapping, Sequence

from carbjax._errors import ConfigError
from carbjax._ledger.backends import Backend
from carbjax._serving.system import System


def models_of(
    backends: Sequence[Backend], system: System | Mapping[str, System]
) -> list[str]:
    """What the ledger calls each backend's model, for which there is a system.

    Raises `ConfigError`, naming a backend for which there is none.
    """
    if isinstance(system, System):
        named = {b.model for b in backends}
        if len(named) > 1:
            raise ConfigError(
                f"the sources hold several models: {_listed(named)}.",
                hint="Give a system of each: `--systems FILE`, or in Python a mapping from "
                "model to System.",
            )
        return [b.model or system.model.name for b in backends]
    return [_known(backend, system) for backend in backends]


def _known(backend: Backend, systems: Mapping[str, System]) -> str:
    if backend.model is None and len(systems) == 1:
        return next(iter(systems))
    if backend.model is not None and backend.model in systems:
        return backend.model
    if backend.model is None:
        raise ConfigError(
            f"the sources do not say which model backend {backend.name!r} serves.",
            hint=f"Put it below a folder `model=NAME`; there are {_listed(systems)}.",
        )
    near = difflib.get_close_matches(backend.model, systems, n=1)
    raise ConfigError(
        f"backend {backend.name!r} serves {backend.model!r}, for which there is no system.",
        hint=f"Is it {near[0]!r}?" if near else f"There are {_listed(systems)}.",
    )


def _listed(names) -> str:
    return ", ".join(sorted("no name" if name is None else name for name in names))
