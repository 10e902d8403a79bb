"""Settings from a configuration file or from options, or one clear error."""

import difflib
import pathlib
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from carbjax._errors import ConfigError
from carbjax._settings.sections import RunSettings
from carbjax._settings.wanted import wanted

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
    content = _toml(path)
    if not needs_trace:
        content.setdefault("trace", {"path": ""})
    folder = pathlib.Path(path).parent
    for section, key in _PATHS:
        table = content.get(section)
        if isinstance(table, dict) and isinstance(table.get(key), str):
            table[key] = _beside(folder, table[key])
    return checked(content, file=path, name=".".join, strict=True)


def checked(
    content: Mapping[str, Any],
    *,
    file: str | None,
    name: Callable[[tuple[str, ...]], str],
    strict: bool,
) -> RunSettings:
    """The settings in `content`, or a `ConfigError` about the first that is wrong.

    `name` says how the user knows the setting at a path of keys; `strict` refuses text
    where a number is meant.
    """
    try:
        return RunSettings.model_validate(content, strict=strict)
    except ValidationError as error:
        raise _config_error(error.errors()[0], file, name) from None


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
    details: ErrorDetails, file: str | None, name: Callable[[tuple[str, ...]], str]
) -> ConfigError:
    # Within a union pydantic appends the member's type; the two keys are enough.
    keys = tuple(str(key) for key in details["loc"][:2])
    setting = name(keys)
    kind, given = details["type"], details["input"]
    if kind == "missing":
        return ConfigError(f"`{setting}` is missing.", file=file, hint="Give it.")
    if kind == "extra_forbidden":
        return ConfigError(
            f"`{setting}` is not known.", file=file, hint=_known(keys[:-1], keys[-1])
        )
    if kind == "literal_error":
        allowed = details["ctx"]["expected"].replace("'", "")  # type: ignore
        return ConfigError(
            f"`{setting}` is {given!r}.", file=file, hint=f"Choose of {allowed}."
        )
    hint = f"Give {wanted(keys, is_too_large=kind.startswith('less_than'))}."
    return ConfigError(f"`{setting}` is {given!r}.", file=file, hint=hint)


def _known(section: tuple[str, ...], key: str) -> str:
    model: type[BaseModel] = RunSettings
    for part in section:
        model = typing.cast(type[BaseModel], model.model_fields[part].annotation)
    keys = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(key, keys, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(keys)}."
