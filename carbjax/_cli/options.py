"""Options that several commands share."""

import functools as ft
import typing
from collections.abc import Callable
from typing import Any, Literal

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from carbjax._settings.checking import Settings, checked
from carbjax._settings.sections import RunSettings

Command = Callable[..., Any]
Path = tuple[str, str]  # section and key of a setting

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the answer as JSON, and nothing else."
)


def runtime_options(command: Command) -> Command:
    """`command` with the options that say how JAX runs."""
    cache = click.option(
        "--no-compilation-cache",
        is_flag=True,
        help="Keep no compiled programs between runs.",
    )
    precision = click.option(
        "--precision",
        type=click.Choice(["32", "64"]),
        default="64",
        show_default=True,
        help="Bits of floating point numbers.",
    )
    return precision(cache(command))


def settings_options(command: Command, model: type[BaseModel] = RunSettings) -> Command:
    """`command` with an option for each setting of a run but the trace's path."""
    for path, field in reversed(_fields(model).items()):
        choices = _choices(field)
        command = click.option(
            option_name(path, model),
            _parameter(path),
            type=click.Choice(choices) if choices else str,
            metavar=None if choices else _metavar(field),
            help=_help(field),
        )(command)
    return command


def settings_from(trace: str, options: dict[str, str | None]) -> RunSettings:
    """The settings that the options give; `ConfigError` names the option that is wrong."""
    return settings_of(RunSettings, options, {"trace": {"path": trace}})


def settings_of(
    model: type[Settings], options: dict[str, str | None], given: dict[str, dict[str, Any]]
) -> Settings:
    """The settings of the options and what is `given` by section and key, checked."""
    content = {section: dict(table) for section, table in given.items()}
    for section, key in _fields(model):
        value = options[_parameter((section, key))]
        if value is not None:
            content.setdefault(section, {})[key] = value
    name = ft.partial(option_name, model=model)
    return checked(content, model, file=None, name=name, strict=False)


def option_name(path: tuple[str, ...], model: type[BaseModel] = RunSettings) -> str:
    """How the command line spells the setting at `path`."""
    field = _fields(model).get(typing.cast(Path, path))
    extra = {} if field is None else field.json_schema_extra
    named = extra.get("option") if isinstance(extra, dict) else None
    return f"--{named or path[-1].replace('_', '-')}"


def _fields(model: type[BaseModel]) -> dict[Path, FieldInfo]:
    return {
        (section, field.alias or name): field
        for section, table in model.model_fields.items()
        for name, field in typing.cast(
            type[BaseModel], table.annotation
        ).model_fields.items()
        if (section, name) != ("trace", "path")
    }


def _parameter(path: Path) -> str:
    return "_".join(path)


def _choices(field: FieldInfo) -> list[str]:
    is_literal = typing.get_origin(field.annotation) is Literal
    return list(typing.get_args(field.annotation)) if is_literal else []


def _metavar(field: FieldInfo) -> str:
    members = typing.get_args(field.annotation) or (field.annotation,)
    numeric = str not in members
    return "NUMBER" if numeric else "TEXT"


def _help(field: FieldInfo) -> str:
    default = "" if field.default is None else f"  [default: {field.default}]"
    return f"{field.description}{default}"
