"""What a setting may be, in words."""

import datetime as dt
import typing
from collections.abc import Iterable

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_WORDS = {
    int: "a whole number",
    float: "a finite number",
    str: "text",
    dt.datetime: "an instant",
}
_LOWER = {"ge": ", {} or more", "gt": ", above {}"}
_BOTH = _LOWER | {"le": " and at most {}", "lt": " and below {}"}


def wanted(model: type[BaseModel], keys: tuple[str, ...], is_too_large: bool) -> str:
    """Such as "a whole number, 1 or more"; the upper end where the value is too large."""
    if len(keys) < 2:
        return "a table"
    section, key = keys
    table = typing.cast(type[BaseModel], model.model_fields[section].annotation)
    field = next(f for name, f in table.model_fields.items() if (f.alias or name) == key)
    many = _list_of(field)
    if many is not None:
        word, limits = _described(many, [])
        return f"a list, each {word}{_range(limits, is_too_large)}"
    members = typing.get_args(field.annotation) or (field.annotation,)
    words = [
        word + _range(limits, is_too_large)
        for word, limits in (_described(member, field.metadata) for member in members)
        if word
    ]
    return " or ".join(words)


def _list_of(field: FieldInfo) -> object | None:
    """What the entries of a list are, None where the setting is none."""
    for member in (field.annotation, *typing.get_args(field.annotation)):
        if typing.get_origin(member) is list:
            return typing.get_args(member)[0]
    return None


def _described(member: object, limits: list[object]) -> tuple[str, list[object]]:
    if typing.get_origin(member) is typing.Annotated:
        member, *annotations = typing.get_args(member)
        limits = [
            limit
            for annotation in annotations
            for limit in (
                annotation.metadata if isinstance(annotation, FieldInfo) else [annotation]
            )
        ]
    return _WORDS.get(typing.cast(type, member), ""), limits


def _range(limits: Iterable[object], is_too_large: bool) -> str:
    said = ""
    for limit in limits:
        for name, phrase in (_BOTH if is_too_large else _LOWER).items():
            end = getattr(limit, name, None)
            said += "" if end is None else phrase.format(end)
    return said
