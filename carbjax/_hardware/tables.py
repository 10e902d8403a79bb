"""The accelerators and models that carbjax ships, with the source of each number."""

import difflib
import importlib.resources
import tomllib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from carbjax._errors import ConfigError
from carbjax._hardware.accelerator import Accelerator
from carbjax._hardware.model import ModelShape

T = TypeVar("T")


def accelerator(name: str) -> Accelerator:
    """The shipped accelerator of that name, or `ConfigError` with the names there are."""
    return _look_up("accelerator", name, ACCELERATORS)


def model(name: str) -> ModelShape:
    """The shipped model of that name, or `ConfigError` with the names there are."""
    return _look_up("model", name, MODELS)


def sources(name: str) -> dict[str, str]:
    """Where the numbers of a shipped accelerator (by field) or model come from."""
    if name in MODELS:
        return {"shape": _MODELS[name]["source"]}
    accelerator(name)
    return {field: entry["source"] for field, entry in _ACCELERATORS[name].items()}


def caveats(name: str) -> dict[str, str]:
    """What is estimated, stands in or is left out in a shipped accelerator or model."""
    if name in MODELS:
        flag = _MODELS[name].get("flag")
        return {} if flag is None else {"shape": flag}
    accelerator(name)
    entries = _ACCELERATORS[name].items()
    return {field: entry["flag"] for field, entry in entries if "flag" in entry}


def _read(file: str) -> dict[str, dict[str, Any]]:
    text = importlib.resources.files("carbjax._hardware").joinpath(file).read_text("utf-8")
    return tomllib.loads(text)


def _accelerator(name: str, entry: Mapping[str, Any]) -> Accelerator:
    return Accelerator(name=name, **{field: e["value"] for field, e in entry.items()})


def _model(name: str, entry: Mapping[str, Any]) -> ModelShape:
    return ModelShape(
        name=name, **{k: v for k, v in entry.items() if k not in ("source", "flag")}
    )


def _look_up(kind: str, name: str, table: Mapping[str, T]) -> T:
    if name in table:
        return table[name]
    near = difflib.get_close_matches(str(name).lower(), table, n=1, cutoff=0.5)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"there is no {kind} {name!r}.",
        hint=f"{guess}Shipped are {', '.join(table)}.",
    )


_ACCELERATORS = _read("accelerators.toml")
_MODELS = _read("models.toml")

ACCELERATORS: Mapping[str, Accelerator] = MappingProxyType(
    {name: _accelerator(name, entry) for name, entry in _ACCELERATORS.items()}
)
MODELS: Mapping[str, ModelShape] = MappingProxyType(
    {name: _model(name, entry) for name, entry in _MODELS.items()}
)
