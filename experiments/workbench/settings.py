"""Settings of an experiment, from `configs/NAME.toml` and the command line."""

import argparse
import pathlib
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import jax

import carbjax as cj
from experiments.workbench.inputs import data_path

ROOT = pathlib.Path(__file__).parents[2]


class _Fields(Protocol):
    """A `NamedTuple` with a field for each setting."""

    _fields: tuple[str, ...]


S = TypeVar("S", bound=_Fields)


def config_path(name: str) -> pathlib.Path:
    """Where the settings of the experiment lie."""
    return ROOT / "configs" / f"{name}.toml"


def read_settings(kind: type[S], path: pathlib.Path, changes: Sequence[str] = ()) -> S:
    """The file's settings as `kind`; `changes` are lines of TOML that replace some.

    Lists become tuples. Raises `ValueError` where a setting is missing, unknown or given
    twice in `changes`, or the file is no TOML.
    """
    text = path.read_text(encoding="utf-8")
    found = {**tomllib.loads(text), **tomllib.loads("\n".join(changes))}
    for what, names in (
        ("lacks", [name for name in kind._fields if name not in found]),
        ("has an unknown setting", [name for name in found if name not in kind._fields]),
    ):
        if names:
            raise ValueError(f"{path} {what} {names[0]!r}.")
    return kind(**{name: _fixed(value) for name, value in found.items()})


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def begin(
    about: str | None,
    name: str,
    kind: type[S],
    needs: Iterable[pathlib.Path] = (),
) -> tuple[S, pathlib.Path]:
    """Settings and the folder for results; JAX is set to 64 bits and keeps its programs.

    `needs` are paths within the data folder: where one is missing, the experiment ends
    with code 2, as it does for bad settings.
    """
    title = (about or name).splitlines()[0]
    parser = argparse.ArgumentParser(description=title)
    default = config_path(name)
    parser.add_argument("config", nargs="?", type=pathlib.Path, default=default)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "figures")
    arguments = parser.parse_args()
    try:
        settings = read_settings(kind, arguments.config, arguments.set)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for path in needs:
        if not data_path(path).exists():
            parser.error(
                f"there is no {data_path(path)}; set CARBJAX_DATA to the folder that "
                f"holds {path}."
            )
    jax.config.update("jax_enable_x64", True)
    cj.enable_compilation_cache()
    return settings, arguments.out
