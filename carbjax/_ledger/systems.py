"""The systems of several models, from one file."""

import os

from pydantic import BaseModel

from carbjax._errors import ConfigError
from carbjax._serving.configuration import make_system
from carbjax._serving.system import System
from carbjax._settings.checking import checked, read_toml
from carbjax._settings.sections import SystemSettings

_PATHS = ("carbon_intensity", "surrogate")


class _OneSystem(BaseModel):
    system: SystemSettings


def read_systems(
    path: str | os.PathLike[str], base: SystemSettings = SystemSettings()
) -> dict[str, System]:
    """The system of each model, by what the sources call it.

    The TOML file has a table for each, with the keys of `[system]` in a configuration
    file where they differ from `base`; `model` is the table's name unless
    it is given. Paths are relative to the file. Raises `ConfigError`.
    """
    file = os.fspath(path)
    names = list(read_toml(file, ()))
    content = read_toml(file, [(name, key) for name in names for key in _PATHS])
    if not names:
        raise ConfigError("there are no tables.", file=file, hint='Write ["MODEL"].')
    given = base.model_dump(exclude_unset=True)
    return {name: _system(file, name, given, content[name]) for name in names}


def _system(file: str, name: str, base: dict, table: object) -> System:
    if not isinstance(table, dict):
        raise ConfigError(
            f"`{name}` is no table.", file=file, hint='Begin each model with ["MODEL"].'
        )
    settings = checked(
        {"system": {**base, "model": name, **table}},
        _OneSystem,
        file=file,
        name=lambda keys: ".".join([name, *keys[1:]]),
        strict=True,
    )
    return make_system(settings.system)
