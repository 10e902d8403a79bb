"""Spans of OTLP/JSON documents, flat: each with its own and its resource's attributes."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from carbjax._traces.json_lines import documents
from carbjax._traces.source import Source

_SCALARS = ("stringValue", "intValue", "doubleValue", "boolValue")
_SPAN_LISTS = ("scopeSpans", "instrumentationLibrarySpans")  # newer and older name


@dataclasses.dataclass(frozen=True)
class Span:
    """One span; times are texts of Unix nanoseconds."""

    trace: str
    id: str
    parent: str
    start: str | None
    end: str | None
    attributes: dict[str, str | None]


def spans(source: Source) -> Iterator[Span]:
    """All spans of a file, in its order; the source's error where it is no OTLP/JSON."""
    for document in documents(source):
        for resource in _list(source, document, "resourceSpans"):
            shared = _attributes(source, _mapping(source, resource.get("resource", {})))
            scopes = [s for n in _SPAN_LISTS for s in _list(source, resource, n)]
            for scope in scopes:
                for span in _list(source, scope, "spans"):
                    yield _span(source, span, shared)


def _span(source: Source, span: dict[str, Any], shared: dict[str, str | None]) -> Span:
    return Span(
        _text(span.get("traceId")) or "",
        _text(span.get("spanId")) or "",
        _text(span.get("parentSpanId")) or "",
        _text(span.get("startTimeUnixNano")),
        _text(span.get("endTimeUnixNano")),
        {**shared, **_attributes(source, span)},
    )


def _attributes(source: Source, of: dict[str, Any]) -> dict[str, str | None]:
    found = {}
    for pair in _list(source, of, "attributes"):
        value = _mapping(source, pair.get("value") or {})
        scalar = next((value[kind] for kind in _SCALARS if kind in value), None)
        found[str(pair.get("key"))] = _text(scalar)
    return found


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else None


def _list(source: Source, of: dict[str, Any], name: str) -> list[dict[str, Any]]:
    values = of.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise _malformed(source, name)
    return [_mapping(source, value, name) for value in values]


def _mapping(source: Source, value: object, name: str = "resource") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(source, name)
    return value


def _malformed(source: Source, name: str):
    return source.error(
        "this is not as OTLP/JSON has it.",
        file=source.file,
        column=name,
        hint="Export spans with the OTLP JSON file exporter.",
    )
