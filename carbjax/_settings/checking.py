"""Settings from a configuration file or from options, or one clear error."""

import difflib
import pathlib
import re
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from carbjax._errors import ConfigError
from carbjax._settings.sections import RunSettings
from carbjax._settings.wanted import wanted

Settings = TypeVar("Settings", bound=BaseModel)

_PATHS = (
    ("trace", "path"),
    ("trace", "tenants"),
    ("system", "carbon_intensity"),
    ("system", "surrogate"),
    ("output", "out"),
    ("output", "figure"),
)


def read_tables(path: str, *, needs_trace: bool = True) -> RunSettings:
    """The settings of a TOML file; paths in it are relative to its folder.

    Without `needs_trace` the table may be missing, as in a file of a system alone.
    Raises `ConfigError`, which names the file, the key and the values allowed.
    """
    content = read_toml(path, _PATHS)
    if not needs_trace:
        content.setdefault("trace", {"path": ""})
    return checked(content, RunSettings, file=path, name=".".join, strict=True)


def checked(
    content: Mapping[str, Any],
    model: type[Settings],
    *,
    file: str | None,
    name: Callable[[tuple[str, ...]], str],
    strict: bool,
) -> Settings:
    """The settings in `content`, or a `ConfigError` about the first that is wrong.

    `name` says how the user knows the setting at a path of keys; `strict` refuses text
    where a number is meant.
    """
    try:
        return model.model_validate(content, strict=strict)
    except ValidationError as error:
        raise _config_error(error.errors()[0], model, file, name) from None


def read_toml(path: str, paths: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The tables of a TOML file; what stands at `paths` (table, key) is beside the file.

    There may be a path or a list of them. Raises `ConfigError`.
    """
    content, folder = _toml(path), pathlib.Path(path).parent
    for section, key in paths:
        table = content.get(section)
        if not isinstance(table, dict):
            continue
        given = table.get(key)
        if isinstance(given, str):
            table[key] = _beside(folder, given)
        elif isinstance(given, list):
            table[key] = [_beside(folder, x) if isinstance(x, str) else x for x in given]
    return content


def _toml(path: str) -> dict[str, Any]:
    try:
        text = pathlib.Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        reason = getattr(cause, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(
            f"cannot be read ({reason}).", file=path, hint="Give a TOML file."
        ) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        line = re.search(r"at line (\d+)", str(cause))
        raise ConfigError(
            f"this is not TOML: {cause}.", file=path, row=int(line[1]) if line else None
        ) from None


def _beside(folder: pathlib.Path, value: str) -> str:
    beside = folder / value
    # `sample` and a number are no paths, and neither is a column that names tenants.
    is_path = "/" in value or "." in value or beside.exists()
    return str(beside) if is_path and not _is_number(value) else value


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _config_error(
    details: ErrorDetails,
    model: type[BaseModel],
    file: str | None,
    name: Callable[[tuple[str, ...]], str],
) -> ConfigError:
    # Within a union pydantic appends the member's type; the two keys are enough.
    keys = tuple(str(key) for key in details["loc"][:2])
    setting = name(keys)
    kind, given = details["type"], details["input"]
    if kind == "missing":
        return ConfigError(f"`{setting}` is missing.", file=file, hint="Give it.")
    if kind == "extra_forbidden":
        return ConfigError(
            f"`{setting}` is not known.", file=file, hint=_known(model, keys)
        )
    if kind == "literal_error":
        allowed = details["ctx"]["expected"].replace("'", "")  # type: ignore
        return ConfigError(
            f"`{setting}` is {given!r}.", file=file, hint=f"Choose of {allowed}."
        )
    hint = f"Give {wanted(model, keys, is_too_large=kind.startswith('less_than'))}."
    return ConfigError(f"`{setting}` is {given!r}.", file=file, hint=hint)


def _known(model: type[BaseModel], path: tuple[str, ...]) -> str:
    *section, key = path
    for part in section:
        model = typing.cast(type[BaseModel], model.model_fields[part].annotation)
    keys = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(key, keys, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(keys)}."
