"""OpenTelemetry GenAI spans as OTLP/JSON: one document, or one a line.

Source: OpenTelemetry semantic conventions for generative AI (`gen_ai.*`), and the OTLP
JSON mapping (`resourceSpans`, `startTimeUnixNano`). A span that counts tokens is a
request; spans of agents and tools sum up others and are none.
"""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from carbjax._traces.columns import Table
from carbjax._traces.format import Arrivals, Documents, TraceFormat, unix_unit
from carbjax._traces.otel_spans import Span, spans
from carbjax._traces.rejects import Quarantine
from carbjax._traces.source import Source
from carbjax._traces.values import numbers, present

_START, _END, _ID, _PARENT = "start_time", "end_time", "span_id", "within"
_PROMPT, _ANSWER = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
_OLDER = {
    _PROMPT: "gen_ai.usage.prompt_tokens",
    _ANSWER: "gen_ai.usage.completion_tokens",
}
_OPERATION = "gen_ai.operation.name"
_CALLS = {"chat", "text_completion", "generate_content", "embeddings"}
_NANOSECONDS = (1e17, 4e18)  # 1973 to 2096


def otel_table(source: Source, quarantine: Quarantine | None) -> Table:
    """A row for each span of a request; errors count them from 1."""
    found = list(spans(source))
    requests = [span for span in found if _is_request(span)]
    parents = {(span.trace, span.id): span for span in found}
    rows = [_row(span, parents) for span in requests]
    names = dict.fromkeys(
        [_ID, _START, _END, _PROMPT, _ANSWER, _PARENT, *(n for row in rows for n in row)]
    )
    others = len(found) - len(requests)
    return Table(
        source.file,
        {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names},
        len(rows),
        lambda index: index + 1,
        None,
        source.error,
        quarantine,
        (f"{others} spans call no model and are ignored.",) if others else (),
    )


def _is_request(span: Span) -> bool:
    operation = span.attributes.get(_OPERATION)
    if operation is not None:
        return operation in _CALLS
    return any(name in span.attributes for name in (*_OLDER, *_OLDER.values()))


def _row(span: Span, parents: dict[tuple[str, str], Span]) -> dict[str, str | None]:
    tokens = {name: _tokens(span, name) for name in (_PROMPT, _ANSWER)}
    if span.attributes.get(_OPERATION) == "embeddings":
        tokens[_ANSWER] = tokens[_ANSWER] or "0"
    around = next((s for s in _ancestors(span, parents) if _is_request(s)), None)
    return {
        **span.attributes,
        **tokens,
        _ID: f"{span.trace}:{span.id}" if span.trace else span.id,
        _START: span.start,
        _END: span.end,
        _PARENT: None if around is None else around.id,
    }


def _tokens(span: Span, name: str) -> str | None:
    newer, older = (span.attributes.get(n) for n in (name, _OLDER[name]))
    if newer is not None and older is not None and newer != older:
        return f"{newer} or {older}"
    return older if newer is None else newer


def _ancestors(span: Span, parents: dict[tuple[str, str], Span]) -> Iterator[Span]:
    seen = {span.id}
    above = parents.get((span.trace, span.parent))
    while above is not None and above.id not in seen:
        yield above
        seen.add(above.id)
        above = parents.get((above.trace, above.parent))


def _arrivals(table: Table, column: str, zone: ZoneInfo | None) -> Arrivals:
    return Arrivals(_unix(table, column), has_calendar=True)


def _unix(table: Table, column: str) -> np.ndarray:
    """Unix nanoseconds, exact where they are whole numbers."""
    rough = numbers(table, column)
    low, high = _NANOSECONDS

    def problem(index: int) -> str:
        guess = unix_unit(float(rough[index])) or ""
        return (
            f"{table.shown(column, index)} is no Unix time in nanoseconds"
            f"{guess and f' ({guess})'}."
        )

    bad = (rough < low) | (rough > high)
    table.refuse(bad, column, problem, "Write it in nanoseconds since 1970.")
    exact = [0 if b else _whole(v) for b, v in zip(bad, present(table, column).to_pylist())]
    return np.array(exact, np.int64)


def _whole(text: str | None) -> int:
    if text is None:
        return 0
    try:
        return int(text)
    except ValueError:
        return int(float(text))


def _check(table: Table) -> tuple[str, ...]:
    within = table.columns[_PARENT]
    table.refuse(
        within.is_valid().to_numpy(zero_copy_only=False),
        _ID,
        lambda i: (
            f"{table.shown(_ID, i)} lies within the span {table.shown(_PARENT, i)}, which "
            "counts tokens too: one request told twice."
        ),
        "Keep the spans of the server alone, or of the client alone.",
    )
    start, end = _unix(table, _START), _unix(table, _END)
    table.refuse(
        end < start,
        _END,
        lambda i: (
            f"the span ends {(int(start[i]) - int(end[i])) / 1e9:g} s before it starts."
        ),
        "Are start and end of two clocks, or swapped?",
    )
    return table.notes


OTEL = TraceFormat(
    name="otel",
    arrival=_START,
    num_prefill_tokens=_PROMPT,
    num_decode_tokens=_ANSWER,
    read_arrivals=_arrivals,
    request_id=_ID,
    checked=(_END, _PARENT),
    check=_check,
    ignored={
        "gen_ai.usage.cache_read.input_tokens": "prompts are taken to be computed anew",
        "gen_ai.usage.cache_creation.input_tokens": "no prefix cache is modelled",
    },
    has_other_columns=True,
    documents=Documents(frozenset({"resourceSpans"}), otel_table),
)
