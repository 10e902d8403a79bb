"""BurstGPT, vLLM's benchmark and OpenTelemetry spans, read as their sources define them."""

import datetime as dt
import json

import numpy as np
import pytest

from carbjax._errors import TraceError
from carbjax._traces import read_trace, read_trace_report

BURST_OLD = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,472,18,490,Conversation log\n"
    "45.5,GPT-4,1087,0,1087,API log\n"
)
BURST_NEW = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,"
    "Total tokens,Log Type\n"
    "5,a1,2.25,ChatGPT,472,18,490,Conversation log\n"
    "45.5,,0.5,GPT-4,1087,0,1090,API log\n"
)
SECOND = 10**9
NOON = int(dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC).timestamp()) * SECOND


@pytest.fixture
def write(tmp_path):
    def write(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "trace").write_text(text)
        return tmp_path / "trace"

    return write


def bench(**changes):
    run = {
        "date": "20250301-120000",
        "total_input_tokens": 60,
        "request_throughput": 1.5,
        "input_lens": [10, 20, 30],
        "output_lens": [3, 2, 1],
        "ttfts": [0.1, 0.1, 0.1],
        "itls": [[0.01, 0.01], [0.01], []],
        "start_times": [70001.5, 70000.25, 70004.0],
        "errors": ["", "", ""],
    }
    return {**run, **changes}


def span(number, **changes):
    """A span of a request, as an OTLP/JSON object; `attributes` by name."""
    attributes = changes.pop(
        "attributes", {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2}
    )
    times = {
        "startTimeUnixNano": str(NOON + number * SECOND // 4),
        "endTimeUnixNano": str(NOON + (number + 2) * SECOND),
    }
    return {
        "traceId": "t1",
        "spanId": f"s{number}",
        "name": "chat m",
        **times,
        **changes,
        "attributes": [{"key": k, "value": as_value(v)} for k, v in attributes.items()],
    }


def as_value(value):
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def export(*spans, tenant="acme"):
    resource = {"attributes": [{"key": "tenant", "value": {"stringValue": tenant}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}


@pytest.mark.parametrize("content", [BURST_OLD, BURST_NEW], ids=["old", "new"])
def test_burstgpt_counts_seconds_and_tells_failures(write, content):
    w, report = read_trace_report(write(content))
    assert report.format == "burstgpt" and w.epoch is None
    np.testing.assert_array_equal(w.arrival_s, [5.0, 45.5])
    np.testing.assert_array_equal(w.num_prefill_tokens, [472, 1087])
    np.testing.assert_array_equal(w.num_decode_tokens, [18, 0])
    assert any(
        "1 requests have no answer: in BurstGPT these failed" in n for n in report.notes
    )
    assert any("1 requests have another number" in n for n in report.notes) == (
        content is BURST_NEW
    )


def test_burstgpt_tenants_may_be_any_column(write):
    assert read_trace(write(BURST_NEW), tenant="Model").player_names == ("ChatGPT", "GPT-4")


def test_burstgpt_that_ends_before_it_starts(write):
    with pytest.raises(TraceError, match="row 3, column 'Elapsed time': .* ends -0.5 s"):
        read_trace(write(BURST_NEW.replace(",0.5,", ",-0.5,")))


def test_a_vllm_benchmark_counts_from_its_first_request(write):
    w, report = read_trace_report(write(bench()))
    assert report.format == "vllm_bench" and w.epoch is None
    np.testing.assert_array_equal(w.arrival_s, [1.25, 0.0, 3.75])
    np.testing.assert_array_equal(w.num_prefill_tokens, [10, 20, 30])
    np.testing.assert_array_equal(w.num_decode_tokens, [3, 2, 1])
    assert read_trace(write(json.dumps(bench(), indent=2))).num_requests == 3


def without(name):
    return {key: value for key, value in bench().items() if key != name}


@pytest.mark.parametrize(
    "content, message",
    [
        (without("input_lens"), "column 'input_lens': this list is missing.*save-detailed"),
        (without("start_times"), "column 'start_times': this list is missing"),
        (bench(output_lens=[3, 2]), "'output_lens': the list has 2 values, .* has 3"),
        (bench(errors=["", "", "x\nTimeoutError"]), r"row 3, .*failed \(TimeoutError\)"),
        (bench(output_lens=[3, -2, 1]), "row 2, column 'output_lens': -2 is negative"),
        (bench(start_times=[1.0, 2.0, 1.7e9]), "row 3.*Unix time.*in seconds"),
        (bench(input_lens={"a": 1}), "'input_lens': this is not a list"),
        (json.dumps(bench()) + "\n" + json.dumps(bench()), "2 runs, whose clocks may"),
    ],
)
def test_benchmarks_that_cannot_be_used(write, content, message):
    with pytest.raises(TraceError, match=message):
        read_trace(write(content))


def test_spans_are_requests_of_their_resource(write):
    old = {"gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 5}
    embedded = {"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 9}
    tool = span(9, attributes={"gen_ai.operation.name": "execute_tool"})
    lines = (
        export(span(3), span(1, attributes=old), tool),
        export(span(2, attributes=embedded), tenant="other"),
    )
    path = write("\n".join(json.dumps(line) for line in lines))
    w, report = read_trace_report(path, tenant="tenant")
    assert report.format == "otel" and w.epoch == dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
    np.testing.assert_array_equal(w.arrival_s, [0.75, 0.25, 0.5])
    np.testing.assert_array_equal(w.num_prefill_tokens, [10, 7, 9])
    np.testing.assert_array_equal(w.num_decode_tokens, [2, 5, 0])
    assert w.request_ids == ("t1:s3", "t1:s1", "t1:s2")
    assert w.player_names == ("acme", "other")
    assert "1 spans call no model and are ignored." in report.notes


def test_nanoseconds_survive(write):
    late = span(1, startTimeUnixNano=str(NOON + 1), endTimeUnixNano=str(NOON + 2))
    w = read_trace(write(export(span(0), late)))
    assert w.arrival_s[1] == 1e-9


agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 99}
both = {
    "gen_ai.usage.input_tokens": 1,
    "gen_ai.usage.prompt_tokens": 2,
    "gen_ai.usage.output_tokens": 1,
}


@pytest.mark.parametrize(
    "spans, message",
    [
        (
            [span(1), span(1)],
            "row 2, column 'span_id': 't1:s1' is also the request of row 1",
        ),
        ([span(1), span(2, parentSpanId="s1")], "row 2.*told twice"),
        (
            [span(1, endTimeUnixNano=str(NOON))],
            "row 1, column 'end_time'.*before it starts",
        ),
        (
            [span(1, startTimeUnixNano="1740830400000")],
            r"nanoseconds \(in milliseconds\?\)",
        ),
        ([span(1, startTimeUnixNano=None)], "column 'start_time': there is no value"),
        (
            [span(1, attributes={"gen_ai.usage.input_tokens": 1})],
            "output_tokens': there is",
        ),
        ([span(1, attributes=both)], "'1 or 2' is not a number"),
        ([span(1, attributes=agent)], "the trace has no requests"),
    ],
)
def test_spans_that_cannot_be_used(write, spans, message):
    with pytest.raises(TraceError, match=message):
        read_trace(write(export(*spans)))


def test_spans_in_an_agent_count_once(write):
    inner = span(2, parentSpanId="s1")
    w = read_trace(write(export(span(1, attributes=agent), inner)))
    assert w.request_ids == ("t1:s2",)


@pytest.mark.parametrize("content", [{"resourceSpans": 3}, {"resourceSpans": [3]}])
def test_documents_of_another_shape_are_refused(write, content):
    with pytest.raises(TraceError, match="not as OTLP/JSON has it"):
        read_trace(write(content))
