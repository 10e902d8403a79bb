"""Mutated files are read or refused by name: no traceback, no hang, no wrong sum.

`CARBJAX_FUZZ=20000` says how many files are tried in all, by default a few hundred, and
`CARBJAX_FUZZ_SEED=1` which.
"""

import csv
import io
import json
import math
import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carbjax._attribution.recorded_logs import read_recorded
from carbjax._carbon.intensity_readers import read_intensity
from carbjax._errors import CarbjaxError, WorkloadError
from carbjax._traces import read_trace, read_trace_report
from carbjax._traces.iteration_log import read_iteration_log
from carbjax._traces.meter import read_meter
from carbjax._traces.servegen import ServeGen

NUMBER = int(os.environ.get("CARBJAX_FUZZ", "200"))
SEED = int(os.environ.get("CARBJAX_FUZZ_SEED", "0"))
SLOWEST_S = 5.0
OWN = "request_id,tenant_id,arrival,prompt_tokens,decode_tokens\n" + "".join(
    f"r{i},t{i % 3},{i}.25,{10 * i},{i}\n" for i in range(9)
)
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n" + "".join(
    f"2024-05-10 00:00:0{i}.009930+00:00,{7 * i},{i}\r\n" for i in range(9)
)
BURST = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,"
    "Total tokens,Log Type\n"
    + "".join(f"{i},,2.5,GPT-4,{i},{2 * i},{3 * i},API log\n" for i in range(9))
)
MOONCAKE = "".join(
    json.dumps({"timestamp": i, "input_length": 2 * i, "output_length": 3, "hash_ids": [1]})
    + "\n"
    for i in range(9)
)
BENCH = json.dumps(
    {
        "request_throughput": 1.0,
        "input_lens": [3, 4, 5],
        "output_lens": [1, 2, 3],
        "start_times": [7.5, 8.5, 9.25],
        "errors": ["", "", ""],
    }
)
SPAN = {
    "traceId": "t",
    "startTimeUnixNano": "1740830400000000000",
    "endTimeUnixNano": "1740830401000000000",
    "attributes": [
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
        {"key": "gen_ai.usage.output_tokens", "value": {"intValue": 3}},
    ],
}
OTEL = "".join(
    json.dumps(
        {"resourceSpans": [{"scopeSpans": [{"spans": [{**SPAN, "spanId": str(i)}]}]}]}
    )
    + "\n"
    for i in range(3)
)
SCHEDULED = '{"clock": {"unix_s": 1740830400, "monotonic_s": 5}}\n' + "".join(
    json.dumps({"start_s": i, "end_s": i + 0.5, "tokens": {"a": 3, "b": 1}}) + "\n"
    for i in range(5)
)
VLLM = "".join(
    f"INFO 03-01 12:00:0{i} [core.py:359] Iteration({i}): 1 context requests, 5 context "
    "tokens, 2 generation requests, 2 generation tokens, iteration elapsed time: 1.50 ms\n"
    for i in range(5)
)
JOINED = "".join(
    json.dumps({"start_s": i, "end_s": i + 0.5, "tokens": tokens}) + "\n"
    for i, tokens in enumerate([{"a": 9, "b": 4}, {"a": 1, "b": 3}, {"b": 1}, {"b": 1}])
)
ASKED = "request_id,arrival,prompt_tokens,decode_tokens\na,0,9,2\nb,0,7,3\n"
METER = "time,gpu,energy_mj\n" + "".join(
    f"{i},{g},{9 * i}\n" for i in range(5) for g in "ab"
)
GRID = "time,intensity\n" + "".join(f"2023-01-01T0{i}:00:00Z,{300 + i}\n" for i in range(9))
CLIENT = "".join(f"{600 * i},0.5,1.0,Gamma,0.9,2.2\n" for i in range(4))
LENGTHS = '{"0": {"input_tokens": "{34: 0.25, 35: 0.75}", "output_tokens": "{1: 1.0}"}}'
WILD = (
    *(
        b"",
        b"\n",
        b",",
        b'"',
        b"\xff",
        b"\x00",
        b"-",
        b".",
        b"e9",
        b"nan",
        b"{",
        b"[",
        b"]",
    ),
    *(b"999999999999", b"-1", b"0x10", b" ", b"\r", b"null", b"\\ud800", b"1e400", b"}"),
)


def mutated(rng, content: bytes) -> bytes:
    """Up to three changes: bytes replaced, cut, doubled or swapped, lines shuffled."""
    for _ in range(rng.integers(1, 4)):
        at, to = np.sort(rng.integers(0, len(content) + 1, 2)).tolist()
        wild = WILD[rng.integers(len(WILD))]
        short = min(to, at + int(rng.integers(0, 4)))
        lines = content.split(b"\n")
        kind = rng.integers(6)
        if kind == 0:
            content = content[:at] + wild + content[short:]
        elif kind == 1:
            content = content[:at] + content[short:]
        elif kind == 2:
            content = content[:to] + content[at:]
        elif kind == 3:
            content = content[:at] if rng.random() < 0.3 else content[:at] + wild
        elif kind == 4:
            content = b"\n".join(lines[i] for i in rng.permutation(len(lines)))
        else:
            i = int(rng.integers(len(lines)))
            content = b"\n".join([*lines[:i], lines[i], *lines[i:]])
        content = content or b" "
    return content


def csv_sum(content: bytes, columns):
    """Tokens that the plainest of readers finds, and how many records."""
    text = content.decode("utf-8-sig")
    rows = [r for r in csv.reader(io.StringIO(text, newline="")) if r]
    at = [[name.strip() for name in rows[0]].index(c) for c in columns]
    return sum(int(float(row[i])) for row in rows[1:] for i in at), len(rows) - 1


def json_sum(content: bytes, columns):
    lines = [x for x in content.decode("utf-8-sig").split("\n") if x.strip()]
    found = [json.loads(line) for line in lines]
    return sum(int(float(row[c])) for row in found for c in columns), len(lines)


JUDGES = {
    "own": (OWN, csv_sum, ("prompt_tokens", "decode_tokens")),
    "azure": (AZURE, csv_sum, ("ContextTokens", "GeneratedTokens")),
    "burst": (BURST, csv_sum, ("Request tokens", "Response tokens")),
    "mooncake": (MOONCAKE, json_sum, ("input_length", "output_length")),
}


def parquet() -> bytes:
    sink = io.BytesIO()
    columns = dict(arrival=[0.0, 1.5], prompt_tokens=[1, 2], decode_tokens=[3, 4])
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


READERS = {
    "bench": (BENCH.encode(), read_trace),
    "otel": (OTEL.encode(), read_trace),
    "parquet": (parquet(), read_trace),
    "scheduled": (SCHEDULED.encode(), lambda p: read_iteration_log(p, None, None)),
    "vllm": (VLLM.encode(), lambda p: read_iteration_log(p, None, None)),
    "meter": (METER.encode(), read_meter),
    "intensity": (GRID.encode(), read_intensity),
}


def timed(read, path):
    """What `read` returns, or None where it refuses the file by name."""
    began = time.monotonic()
    try:
        return read(path)
    except CarbjaxError as error:
        assert path.name in str(error)
        return None
    finally:
        assert time.monotonic() - began < SLOWEST_S


@pytest.mark.parametrize("form", JUDGES)
def test_mutated_traces_have_the_right_sum_or_none(tmp_path, form):
    content, judge, columns = JUDGES[form]
    rng = np.random.default_rng((SEED, len(form)))
    path, read_any = tmp_path / "trace", 0
    for _ in range(NUMBER // 8):
        data = mutated(rng, content.encode())
        path.write_bytes(data)
        found = timed(read_trace, path)
        if found is not None:
            tokens, records = judge(data, columns)
            total = found.num_prefill_tokens.sum() + found.num_decode_tokens.sum()
            assert (total, found.num_requests) == (tokens, records), data
            read_any += 1
    assert 0 < read_any < NUMBER // 8


@pytest.mark.parametrize("form", JUDGES)
def test_mutated_traces_lose_no_row_to_the_rejects(tmp_path, form):
    content, judge, columns = JUDGES[form]
    rng = np.random.default_rng((SEED, 7 + len(form)))
    path, rejects = tmp_path / "trace", tmp_path / "rejects"
    for _ in range(NUMBER // 16):
        data = mutated(rng, content.encode())
        path.write_bytes(data)
        found = timed(lambda p: read_trace_report(p, rejects=rejects), path)
        if found is None:
            continue
        workload, report = found
        written = [json.loads(x) for x in rejects.read_text().splitlines()]
        assert report.num_rejected == len(written) == len({r["row"] for r in written})
        whole = timed(read_trace, path)
        assert (whole is None) == (len(written) > 0), data
        if whole is not None:
            assert whole.num_requests == workload.num_requests
        if form != "mooncake":
            _, records = judge(data, ())
            assert workload.num_requests + report.num_rejected == records, data


@pytest.mark.parametrize("form", READERS)
def test_mutated_files_are_read_or_refused_by_name(tmp_path, form):
    content, read = READERS[form]
    rng = np.random.default_rng((SEED, len(form)))
    path, kept = tmp_path / "file", 0
    for _ in range(NUMBER // 28):
        path.write_bytes(mutated(rng, content))
        kept += timed(read, path) is not None
    assert kept < NUMBER // 28


def test_mutated_logs_join_with_all_tokens_or_not_at_all(tmp_path):
    rng = np.random.default_rng((SEED, 2))
    joined, (asked, ran) = 0, (tmp_path / "logged-requests", tmp_path / "logged-iterations")
    for i in range(NUMBER // 28):
        contents = [ASKED.encode(), JOINED.encode()]
        contents[i % 2] = mutated(rng, contents[i % 2])
        asked.write_bytes(contents[0])
        ran.write_bytes(contents[1])
        try:
            log = read_recorded(asked, ran)
        except CarbjaxError as error:
            assert "logged-" in str(error) or isinstance(error, WorkloadError)
            continue
        lines = [json.loads(x) for x in ran.read_text("utf-8-sig").split("\n") if x.strip()]
        tokens = sum(sum(line.get("tokens", {}).values()) for line in lines)
        assert log.schedule.iterations.column("num_tokens").sum() == tokens
        joined += 1
    assert joined < NUMBER // 28


def test_mutated_clients_are_read_or_refused_by_name(tmp_path):
    rng = np.random.default_rng((SEED, 1))
    for i in range(NUMBER // 28):
        trace, lengths = CLIENT.encode(), LENGTHS.encode()
        trace, lengths = [(mutated(rng, trace), lengths), (trace, mutated(rng, lengths))][
            i % 2
        ]
        (tmp_path / "chunk-1-trace.csv").write_bytes(trace)
        (tmp_path / "chunk-1-dataset.json").write_bytes(lengths)
        began = time.monotonic()
        try:
            drawn = next(ServeGen(tmp_path).chunks(10))
            assert len(drawn.tenant) == 10 and math.isfinite(drawn.arrival_s.sum())
        except CarbjaxError as error:
            assert "chunk-1" in str(error)
        assert time.monotonic() - began < SLOWEST_S
