"""Each fixture of `bad/`: refused where it is bad, a row set aside, or read with a note."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest

import carbjax as cj
from carbjax._carbon.intensity_readers import read_intensity
from carbjax._errors import CarbjaxError, TraceError
from carbjax._traces import read_trace, read_trace_report
from carbjax._traces.iteration_log import read_iteration_log
from carbjax._traces.meter import read_meter

BAD = pathlib.Path(__file__).parent / "bad"

# Row, column and part of the message; with `rejects` that row alone is left out.
ROWS = {
    "nan_tokens.csv": (3, "prompt_tokens", "nan is not finite"),
    "infinite_tokens.csv": (3, "decode_tokens", "inf is not finite"),
    "negative_tokens.csv": (3, "prompt_tokens", "-100 is negative"),
    "fractional_tokens.csv": (3, "decode_tokens", "20.5 is not a whole number"),
    "beyond_int32.csv": (3, "prompt_tokens", "4294967296 is beyond 2147483647"),
    "duplicate_ids.csv": (4, "request_id", "'a' is also the request of row 2"),
    "missing_tenant.csv": (3, "tenant_id", "there is no value"),
    "ragged_rows.csv": (3, None, "the line has 4 values, the header 5"),
    "milliseconds.csv": (3, "arrival", "a Unix time, or another unit (in milliseconds?)"),
    "clocks_mixed.csv": (3, "arrival", "a Unix time, or another unit (in seconds?)"),
    "mixed_times.csv": (3, "arrival", "no time zone; those before it have one"),
    "seconds_among_stamps.csv": (3, "arrival", "'1.5' is not a time stamp"),
    "dst_fold.csv": (3, "arrival", "2025-10-26 02:30:00 happened twice"),
    "dst_gap.csv": (3, "arrival", "2025-03-30 02:30:00 never happened"),
    "truncated.csv": (4, None, "the line has 3 values, the header 5"),
    "truncated.jsonl": (3, None, "the line is not JSON"),
    "end_before_start.jsonl": (2, "end_time", "the span ends 1 s before it starts"),
    "milliseconds_for_nanoseconds.jsonl": (
        2,
        "start_time",
        "nanoseconds (in milliseconds?)",
    ),
    "request_told_twice.jsonl": (2, "span_id", "one request told twice"),
    "failed_request.json": (2, "errors", "the request failed (Connection refused)"),
    "burst_ends_early.csv": (3, "Elapsed time", "ends -1.5 s after it starts"),
}
FILES = {
    "naive_time.csv": (2, "arrival", "has no time zone"),
    "empty.csv": (None, None, "the file is empty"),
    "header_only.csv": (None, None, "the trace has no requests"),
    "lfs_pointer.csv": (None, None, "Git LFS pointer, not the data. Run `git lfs pull`"),
    "web_page.csv": (None, None, "a web page, not the data"),
    "not_utf8.csv": (2, None, "byte 0xe9 is not valid UTF-8"),
    "misspelt_column.csv": (1, "prompt_tokens", "missing. Is it 'promt_tokens'?"),
    "unknown_column.csv": (1, "colour", "this column is not known"),
    "open_quote.csv": (3, None, "Is a quote not closed?"),
}
OTHERS = {
    "intensity_gap.csv": (5, None, "missing from 2025-03-01T03:00"),
    "intensity_conflict.csv": (4, "time", "that of the row above, with 470 for 310"),
    "intensity_overlap.csv": (6, "time", "before the row above. Sort the rows by time. Do"),
    "intensity_negative.csv": (3, "intensity", "the intensity -12 is negative"),
    "intensity_absurd.csv": (3, "intensity", "250000 is out of reach"),
    "intensity_lb_per_mwh.csv": (1, "CO2 lbs/MWh", "0.4536 g/kWh"),
    "intensity_kg_per_kwh.csv": (None, "intensity", "are these kg/kWh? Give gCO2e/kWh"),
    "intensity_marginal.csv": (1, "moer_g_per_kwh", "holds marginal intensities"),
    "intensity_mixed_kinds.csv": (3, "signal", "the intensity is a marginal one"),
    "meter_clocks_mixed.csv": (3, "time", "Unix and monotonic seconds are mixed"),
    "iterations_clocks_mixed.jsonl": (3, "start_s", "Unix and monotonic seconds are"),
    "iterations_swapped.jsonl": (2, "end_s", "ends at 3.0 s and starts at 4.0 s"),
    "iterations_cut.log": (3, None, "Iteration(3) follows Iteration(1)"),
}
# Read as they are; the note says what a reader must know.
READ = {
    "zero_prompt.csv": "1 requests have no prompt (row 3)",
    "zero_answer.csv": "1 requests have no answer (row 3)",
    "unsorted_arrivals.csv": "1 requests come before the one above them (row 3)",
    "milliseconds_from_start.csv": "are they milliseconds?",
    "byte_order_mark.csv": "",
    "carriage_returns.csv": "",
}
MEASURED = {
    "intensity_estimated.csv",
    "intensity_mojibake.csv",
    "meter_reset.csv",
    "meter_missing.csv",
}
# Good traces that a system cannot serve, or has not been measured for.
SERVED = {
    "infeasible.csv": "request 'b' needs 5000020 tokens of KV cache, and "
    "`kv_capacity_tokens` is ",
    "far_outside.csv": "contexts up to 200000 tokens asked, fitted to 32768",
}


def zone(name):
    return "Europe/Berlin" if name.startswith("dst") else None


def read_other(path):
    if path.name.startswith("intensity"):
        column = "g_per_kwh" if "mixed" in path.name else None
        return read_intensity(path, column=column)
    return (
        read_meter(path) if "meter" in path.name else read_iteration_log(path, None, None)
    )


def refused(read, name, expected):
    row, column, message = expected
    with pytest.raises(CarbjaxError) as caught:
        read(BAD / name)
    error = caught.value
    assert (error.file, error.row, error.column) == (str(BAD / name), row, column)
    assert message in str(error)


def test_every_fixture_is_looked_at():
    named = {*ROWS, *FILES, *OTHERS, *READ, *MEASURED, *SERVED}
    assert named == {path.name for path in BAD.iterdir()} and len(named) >= 30


@pytest.mark.parametrize("name", [*ROWS, *FILES])
def test_traces_are_refused_where_they_are_bad(name):
    refused(lambda path: read_trace(path, tz=zone(name)), name, (ROWS | FILES)[name])


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_row_goes_to_the_rejects_and_the_others_are_kept(tmp_path, name):
    row, column, message = ROWS[name]
    workload, report = read_trace_report(
        BAD / name, tz=zone(name), rejects=tmp_path / "rejects"
    )
    (reject,) = map(json.loads, (tmp_path / "rejects").read_text().splitlines())
    assert (reject["row"], reject["column"]) == (row, column)
    assert message in reject["problem"] and report.num_rejected == 1
    lines = [x for x in (BAD / name).read_text().splitlines() if x.strip()]
    if name.endswith(".csv"):
        assert workload.num_requests + 1 == len(lines) - 1
    assert workload.num_requests >= 1 and any("1 rows cannot" in n for n in report.notes)


@pytest.mark.parametrize("name", FILES)
def test_what_is_wrong_with_a_whole_file_is_an_error_even_with_rejects(tmp_path, name):
    expected = FILES[name]
    refused(lambda path: read_trace(path, rejects=tmp_path / "rejects"), name, expected)


@pytest.mark.parametrize("name", OTHERS)
def test_series_meters_and_logs_are_refused_where_they_are_bad(name):
    refused(read_other, name, OTHERS[name])


@pytest.mark.parametrize("name", READ)
def test_what_is_odd_and_usable_is_read_with_a_note(name):
    workload, report = read_trace_report(BAD / name)
    rows = len((BAD / name).read_text("utf-8-sig").splitlines()) - 1
    assert workload.num_requests == rows and report.num_rejected == 0
    assert any(READ[name] in note for note in report.notes)


def test_estimated_steps_are_flagged_and_lost_subscripts_do_not_matter():
    estimated = read_intensity(BAD / "intensity_estimated.csv")
    assert estimated.flags == ("1 of 3 steps are estimated by the source",)
    mojibake = read_intensity(BAD / "intensity_mojibake.csv")
    np.testing.assert_array_equal(mojibake.values, estimated.values)


def test_counters_that_were_reset_or_missed_are_unknown_and_never_zero():
    reset = read_meter(BAD / "meter_reset.csv")
    np.testing.assert_array_equal(reset.energy_j, [3100, np.nan, 2000])
    assert reset.notes == ("1 intervals are unknown: a counter was reset.",)
    missing = read_meter(BAD / "meter_missing.csv")
    np.testing.assert_array_equal(missing.energy_j, [5000])


def test_a_request_that_no_memory_holds_is_refused_and_a_long_one_flagged():
    """By `attribute` and `serve` alike; of ledgers see tests/ledger/test_limits.py."""
    system = cj.System.load("h200-sxm", "llama-3.1-8b")
    too_large = read_trace(BAD / "infeasible.csv")
    with pytest.raises(cj.WorkloadError, match=SERVED["infeasible.csv"]):
        cj.attribute(too_large, system)
    long = read_trace(BAD / "far_outside.csv")
    system.require_feasible(long)
    assert system.flags(long) == (SERVED["far_outside.csv"],)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
def test_a_file_without_permission(tmp_path):
    path = pathlib.Path(shutil.copy(BAD / "header_only.csv", tmp_path))
    path.chmod(0)
    with pytest.raises(TraceError, match="permission to read it is denied"):
        read_trace(path)


def test_a_file_that_the_system_denies(monkeypatch):
    """As above, where tests are run by root."""

    def deny(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "read_bytes", deny)
    with pytest.raises(TraceError, match="permission to read it is denied") as caught:
        read_trace(BAD / "zero_prompt.csv")
    assert caught.value.file == str(BAD / "zero_prompt.csv")
