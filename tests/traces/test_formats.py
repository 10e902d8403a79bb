"""Each trace format read as it stands, from its content and not its name."""

import datetime as dt
import gzip
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carbjax._errors import TraceError
from carbjax._traces import read_trace, read_trace_report

UTC = dt.UTC
AZURE_2023 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 18:15:46.6805900,374,44\r\n"
    "2023-11-16 18:15:50.9951691,396,109\r\n"
)
AZURE_2024 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-10 02:00:00.009930+02:00,2162,5\n"
    "2024-05-10 00:00:01+00:00,2399,6\n"
)
OWN_STAMPS = (
    "request_id,tenant_id,arrival,prompt_tokens,decode_tokens\n"
    "a,mail,2024-05-10T00:00:00.5Z,10,3\n"
    "b,chat,2024-05-10T00:00:02Z,20,0\n"
    "c,mail,2024-05-10T00:00:01Z,0,0\n"
)
OWN_SECONDS = "arrival,prompt_tokens,decode_tokens\n0.25,10,3\n1e1,20,4\n"
MOONCAKE = "".join(
    json.dumps({"timestamp": t, "input_length": p, "output_length": 2, "hash_ids": [1, 2]})
    + "\n"
    for t, p in ((0, 5), (3000, 7), (3000, 9))
)


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "trace.bin"):
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def parquet(**columns) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_azure_2023_keeps_all_seven_digits(write):
    w = read_trace(write(AZURE_2023), tz="UTC")
    assert w.epoch == dt.datetime(2023, 11, 16, 18, 15, 46, tzinfo=UTC)
    np.testing.assert_array_equal(w.arrival_s, [0.68059, 4.9951691])
    np.testing.assert_array_equal(w.num_prefill_tokens, [374, 396])
    np.testing.assert_array_equal(w.num_decode_tokens, [44, 109])
    assert w.num_players == 2 and w.request_ids is None


def test_azure_2024_stamps_say_their_own_zone(write):
    for tz in (None, "America/New_York"):
        w = read_trace(write(AZURE_2024), tz=tz)
        assert w.epoch == dt.datetime(2024, 5, 10, tzinfo=UTC)
        np.testing.assert_array_equal(w.arrival_s, [0.00993, 1.0])


@pytest.mark.parametrize(
    "tz, hour", [("UTC", 18), ("Europe/Berlin", 17), ("Asia/Tokyo", 9)]
)
def test_naive_stamps_are_local_times_of_the_zone(write, tz, hour):
    assert read_trace(write(AZURE_2023), tz=tz).epoch.hour == hour


def test_arrivals_over_a_clock_change_keep_their_distance(write):
    trace = "arrival,prompt_tokens,decode_tokens\n2023-10-29 01:30:00,1,1\n"
    trace += "2023-10-29 03:30:00,1,1\n"
    w = read_trace(write(trace), tz="Europe/Berlin")
    np.testing.assert_array_equal(w.arrival_s, [0.0, 3 * 3600.0])


def test_own_traces_name_requests_and_tenants(write):
    w, report = read_trace_report(write(OWN_STAMPS))
    assert w.request_ids == ("a", "b", "c") and w.player_names == ("mail", "chat")
    np.testing.assert_array_equal(w.player, [0, 1, 0])
    np.testing.assert_array_equal(w.arrival_s, [0.5, 2.0, 1.0])
    assert w.by_request().player_names == ("a", "b", "c")
    assert report.num_tenants == 2 and report.format == "carbjax"


def test_seconds_have_no_calendar(write):
    w = read_trace(write(OWN_SECONDS))
    np.testing.assert_array_equal(w.arrival_s, [0.25, 10.0])
    assert w.epoch is None


def test_mooncake_counts_milliseconds_and_says_what_it_ignores(write):
    w, report = read_trace_report(write(MOONCAKE))
    np.testing.assert_array_equal(w.arrival_s, [0.0, 3.0, 3.0])
    np.testing.assert_array_equal(w.num_prefill_tokens, [5, 7, 9])
    assert w.epoch is None and report.format == "mooncake"
    notes = " ".join(report.notes)
    assert "hash_ids" in notes and "2 requests share their arrival" in notes


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("tz, zoned", [(None, True), ("Europe/Berlin", False)])
def test_parquet_timestamps_with_and_without_a_zone(write, unit, tz, zoned):
    stamps = [dt.datetime(2024, 1, 1, 12), dt.datetime(2024, 1, 1, 12, 0, 9)]
    kind = pa.timestamp(unit, "UTC" if zoned else None)
    arrival = pa.array(stamps, kind)
    path = write(parquet(arrival=arrival, prompt_tokens=[1, 2], decode_tokens=[3.0, 4.0]))
    w = read_trace(path, tz=tz)
    assert w.epoch == dt.datetime(2024, 1, 1, 12 if zoned else 11, tzinfo=UTC)
    np.testing.assert_array_equal(w.arrival_s, [0.0, 9.0])
    np.testing.assert_array_equal(w.num_decode_tokens, [3, 4])


def test_parquet_holds_the_same_trace_as_csv(write):
    columns = [line.split(",") for line in OWN_STAMPS.splitlines()]
    names, *rows = columns
    table = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    table["tenant_id"] = pa.array(table["tenant_id"]).dictionary_encode()
    table["prompt_tokens"] = pa.array([int(x) for x in table["prompt_tokens"]], pa.int16())
    table["arrival"] = pa.array(table["arrival"], pa.large_string())
    from_parquet = read_trace(write(parquet(**table), "a"))
    from_csv = read_trace(write(OWN_STAMPS, "b"))
    np.testing.assert_array_equal(from_parquet.arrival_s, from_csv.arrival_s)
    np.testing.assert_array_equal(from_parquet.player, from_csv.player)
    assert from_parquet.epoch == from_csv.epoch


@pytest.mark.parametrize("content", [AZURE_2024, OWN_STAMPS, MOONCAKE], ids=str.split)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: gzip.compress(text.encode()),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
        lambda text: text.rstrip("\n").encode(),
    ],
    ids=["gz", "byte order mark", "crlf", "blank lines", "no last newline"],
)
def test_the_way_it_is_stored_changes_nothing(write, content, change):
    plain, stored = read_trace(write(content, "a")), read_trace(write(change(content), "b"))
    for name in ("arrival_s", "num_prefill_tokens", "num_decode_tokens", "player"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(stored, name))
    assert plain.epoch == stored.epoch


def test_a_format_can_be_forced(write):
    assert read_trace(write(AZURE_2024), format="azure").num_requests == 2
    with pytest.raises(TraceError, match="missing"):
        read_trace(write(AZURE_2024), format="mooncake")


def test_quoted_values_may_hold_commas_and_line_breaks(write):
    trace = 'request_id,arrival,prompt_tokens,decode_tokens\n"a,\nb",0,1,1\nc,1,"2",x\n'
    with pytest.raises(TraceError, match="row 4"):
        read_trace(write(trace))
    assert read_trace(write(trace.replace("x", "5"))).request_ids == ("a,\nb", "c")


def test_notes_tell_of_order_and_of_empty_requests(write):
    _, report = read_trace_report(write(OWN_STAMPS))
    notes = " ".join(report.notes)
    assert "1 requests come before the one above them (row 4)" in notes
    assert "1 requests ask for nothing and are never scheduled (row 4)" in notes
    assert "1 requests have no answer (row 3)" in notes


def test_the_azure_conversation_trace(shared_data):
    path = shared_data / "azure_llm_2023" / "AzureLLMInferenceTrace_conv.csv"
    w, report = read_trace_report(path, tz="UTC")
    assert w.num_requests == 19366 and not report.notes
    assert w.epoch == dt.datetime(2023, 11, 16, 18, 15, 46, tzinfo=UTC)
    assert (report.num_prefill_tokens.minimum, report.num_prefill_tokens.maximum) == (
        2,
        14050,
    )
    assert (report.num_decode_tokens.minimum, report.num_decode_tokens.maximum) == (7, 1000)
    lines = path.read_text().splitlines()[1:]
    stamps = [line.split(",")[0] for line in lines]
    ticks = [
        int(s[11:13]) * 36_000_000_000
        + int(s[14:16]) * 600_000_000
        + int(s[17:19]) * 10_000_000
        + int(s[20:])
        for s in stamps
    ]
    expected = (np.asarray(ticks) - (18 * 3600 + 15 * 60 + 46) * 10_000_000) / 10_000_000
    np.testing.assert_allclose(w.arrival_s, expected, rtol=0, atol=1e-9)


def test_the_mooncake_trace(shared_data):
    path = shared_data / "mooncake" / "conversation_trace.jsonl.gz"
    w, report = read_trace_report(path)
    assert w.num_requests == 12031
    assert (report.num_prefill_tokens.minimum, report.num_prefill_tokens.maximum) == (
        891,
        126195,
    )
    assert report.num_decode_tokens.maximum == 2000
    assert report.span_s == pytest.approx(3537, abs=1)
