"""Rows set aside: counted, written with their reason, and nothing else is changed."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from carbjax._cli.main import carbjax
from carbjax._errors import OutputError, TraceError
from carbjax._traces import read_trace, read_trace_report

HEADER = "request_id,tenant_id,arrival,prompt_tokens,decode_tokens\n"
GOOD = [f"r{i},t{i % 2},{i}.5,{10 + i},{i}\n" for i in range(8)]
BAD = {
    "r9,t0,1,nan,1\n": ("prompt_tokens", "nan is not finite."),
    "r9,t0,1,1,1.5\n": ("decode_tokens", "1.5 is not a whole number."),
    "r9,t0,1,-1,1\n": ("prompt_tokens", "-1 is negative."),
    "r9,t0,1,0x10,1\n": ("prompt_tokens", "'0x10' is not a decimal number."),
    "r9,t0,1,two,1\n": ("prompt_tokens", "'two' is not a number."),
    "r9,,1,1,1\n": ("tenant_id", "there is no value."),
    "r1,t0,1,1,1\n": ("request_id", "'r1' is also the request of row 3."),
    "r9,t0,-1,1,1\n": ("arrival", "-1 is before the start."),
    "r9,t0,2024-01-01T00:00:00Z,1,1\n": ("arrival", "is not a number."),
    "r9,t0,1,99999999999,1\n": ("prompt_tokens", "99999999999 is beyond 2147483647."),
    "r9,t0,1,1\n": (None, "the line has 4 values, the header 5."),
    "r9,t0,1,1,1,1\n": (None, "the line has 6 values, the header 5."),
}


def read(tmp_path, lines):
    (tmp_path / "trace.csv").write_text("".join([HEADER, *lines]))
    found = read_trace_report(tmp_path / "trace.csv", rejects=tmp_path / "rejects")
    rejects = [json.loads(x) for x in (tmp_path / "rejects").read_text().splitlines()]
    return *found, rejects


@pytest.mark.parametrize("line", BAD)
def test_a_bad_row_is_set_aside_and_the_others_are_as_without_it(tmp_path, line):
    column, problem = BAD[line]
    w, report, rejects = read(tmp_path, [*GOOD[:4], line, *GOOD[4:]])
    (tmp_path / "good.csv").write_text("".join([HEADER, *GOOD]))
    good = read_trace(tmp_path / "good.csv")
    np.testing.assert_array_equal(w.num_prefill_tokens, good.num_prefill_tokens)
    np.testing.assert_array_equal(w.arrival_s, good.arrival_s)
    np.testing.assert_array_equal(w.player, good.player)
    assert w.request_ids == good.request_ids and report.num_rejected == 1
    assert (rejects[0]["row"], rejects[0]["column"]) == (6, column)
    assert problem in rejects[0]["problem"]
    assert "1 rows cannot be used" in report.notes[0]


def test_all_kinds_at_once_are_each_counted_once(tmp_path):
    rng = np.random.default_rng(0)
    bad = [line.replace("r9", f"r9{i}") for i, line in enumerate(BAD)]
    lines = [*GOOD, *bad, *bad]
    order = rng.permutation(len(lines))
    w, report, rejects = read(tmp_path, [lines[i] for i in order])
    assert w.num_requests + report.num_rejected == len(lines)
    assert report.num_rejected == len(rejects) == len({r["row"] for r in rejects})
    assert [r["row"] for r in rejects] == sorted(r["row"] for r in rejects)
    shown = {r["record"].get("request_id") or r["record"].get("line")[:4] for r in rejects}
    assert shown - {"r1"} <= {
        name for line in bad for name in (line.split(",")[0], line[:4])
    }


def test_without_bad_rows_the_file_of_rejects_is_empty(tmp_path):
    (tmp_path / "rejects").write_text("of an earlier run")
    w, report, rejects = read(tmp_path, GOOD)
    assert (w.num_requests, report.num_rejected, rejects) == (8, 0, [])


def test_a_trace_of_bad_rows_alone_is_an_error(tmp_path):
    with pytest.raises(TraceError, match="row 2.*none of its 2 rows can be used.*negative"):
        read(tmp_path, ["a,t,0,-1,1\n", "b,t,0,1\n"])
    assert len((tmp_path / "rejects").read_text().splitlines()) == 2


def test_bad_json_lines_are_set_aside(tmp_path):
    good = '{"timestamp": 0, "input_length": 5, "output_length": 2}\n'
    (tmp_path / "trace").write_text(good + good[:20] + "\n[1]\n" + good + good[:30])
    w, report = read_trace_report(tmp_path / "trace", rejects=tmp_path / "rejects")
    assert (w.num_requests, report.num_rejected) == (2, 3)


def test_stamps_of_another_kind_are_set_aside(tmp_path):
    stamps = ["2024-03-31 01:00:00", "2024-03-31 02:30:00", "2024-03-31 04:00:00Z", "soon"]
    lines = [f"r{i},t,{stamp},1,1\n" for i, stamp in enumerate(stamps)]
    (tmp_path / "trace.csv").write_text("".join([HEADER, *lines]))
    w, report = read_trace_report(
        tmp_path / "trace.csv", tz="Europe/Berlin", rejects=tmp_path / "rejects"
    )
    assert (w.request_ids, report.num_rejected) == (("r0",), 3)
    text = (tmp_path / "rejects").read_text()
    assert all(part in text for part in ("never happened", "has a time zone", "'soon'"))


def test_rejects_that_cannot_be_written_are_an_error(tmp_path):
    (tmp_path / "trace.csv").write_text("".join([HEADER, *GOOD]))
    with pytest.raises(OutputError, match="rejects: cannot be written"):
        read_trace(tmp_path / "trace.csv", rejects=tmp_path / "absent" / "rejects")


def test_validate_finds_all_faults_at_once(tmp_path):
    lines = [*GOOD, "r9,t0,1,nan,1\n", "r10,t0,1\n"]
    (tmp_path / "trace.csv").write_text("".join([HEADER, *lines]))
    words = [
        "validate",
        str(tmp_path / "trace.csv"),
        "--rejects",
        str(tmp_path / "rejects"),
    ]
    shown = CliRunner().invoke(carbjax, words)
    assert shown.exit_code == 0
    assert "2 bad rows, and a good trace without them" in shown.output
    assert len((tmp_path / "rejects").read_text().splitlines()) == 2
    assert CliRunner().invoke(carbjax, words[:2]).exit_code == 2
