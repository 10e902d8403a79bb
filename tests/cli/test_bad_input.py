import os
import subprocess
import sys

import pytest

from carbjax._errors import CarbjaxError

from .calling import GOOD, HEADER, call, write

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n"
SERIES = "time,intensity\n2020-01-01T00:00Z,100\n2020-01-01T01:00Z,200\n"

TRACES = {
    "empty file": ("", "empty"),
    "header alone": (HEADER, "no requests"),
    "cut line": (GOOD + "d,ann,0.4", "row 5"),
    "unknown columns": ("x,y\n1,2\n", "x, y"),
    "missing column": ("arrival,prompt_tokens\n0.0,1\n", "decode_tokens"),
    "not a number": (GOOD + "d,ann,0.4,NaN,3\n", "row 5, column 'prompt_tokens'"),
    "negative": (GOOD + "d,ann,0.4,3,-1\n", "row 5, column 'decode_tokens'"),
    "fraction": (GOOD + "d,ann,0.4,3.5,1\n", "row 5, column 'prompt_tokens'"),
    "hexadecimal": (GOOD + "d,ann,0.4,0x10,1\n", "row 5, column 'prompt_tokens'"),
    "beyond int32": (GOOD + "d,ann,0.4,3000000000,1\n", "row 5, column 'prompt_tokens'"),
    "naive stamp": (AZURE, "zone"),
}
OPTIONS = {
    "cap below 1": (
        ["--max-num-seqs", "0"],
        "`--max-num-seqs` is '0'. Give a whole number, 1 or more.",
    ),
    "not a whole cap": (["--max-num-seqs", "1.5"], "`--max-num-seqs` is '1.5'"),
    "too large a request": (["--kv-capacity", "150"], "request 'b'"),
    "too large, by option": (["--kv-capacity", "150"], "`--kv-capacity` is 150"),
    "too large, by file": (["--kv-capacity", "150"], "trace.csv: request"),
    "unknown gpu": (["--accelerator", "h20"], "h200-sxm"),
    "unknown model": (["--model", "llama"], "llama-3.1-8b"),
    "unknown method": (["--method", "shaply"], "shapley"),
    "unknown policy": (["--policy", "fifo"], "prefill_first"),
    "unknown idle rule": (["--idle", "none"], "unattributed"),
    "PUE below 1": (["--pue", "0.9"], "`--pue` is '0.9'"),
    "infinite intensity": (["--intensity", "inf"], "inf"),
    "negative intensity": (["--intensity", "-1"], "-1"),
    "no such series": (["--intensity", "none.csv"], "none.csv"),
    "limit of 0": (["--limit", "0"], "`--limit` is '0'"),
    "empty window": (["--from", "100"], "no request"),
    "unclear instant": (["--from", "noon"], "`--from` is 'noon'"),
    "instant without calendar": (["--until", "2023-11-16T18:00Z"], "no calendar"),
    "no such zone": (["--tz", "Mars"], "Mars"),
    "no such tenants": (["--tenants", "nobody.csv"], "nobody.csv"),
    "unknown format": (["--format", "azur"], "azure"),
    "unclear epoch": (["--epoch", "noon"], "`--epoch` is 'noon'"),
    "epoch without offset": (["--epoch", "2023-11-16T18:00"], "with its offset"),
    "unknown way to fill": (["--intensity-missing", "drop"], "interpolate"),
    "seed below 0": (["--seed", "-1"], "`--seed` is '-1'"),
    "ledger of unknown kind": (["--out", "ledger.xls"], ".parquet or .csv"),
    "ledger in no folder": (["--out", "nowhere/ledger.csv"], "no folder"),
    "figure of unknown kind": (["--figure", "who.bmp"], ".png"),
}


def assert_refused(result, said, folder, kept):
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.startswith("carbjax: ") and result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert sorted(os.listdir(folder)) == sorted(kept)


@pytest.mark.parametrize("content, said", TRACES.values(), ids=TRACES)
def test_a_bad_trace_is_refused_with_its_place(tmp_path, content, said):
    trace = write(tmp_path, content)
    out = tmp_path / "ledger.csv"
    result = call("attribute", trace, "--out", out)
    assert_refused(result, said, tmp_path, ["trace.csv"])
    assert "trace.csv" in result.stderr


@pytest.mark.parametrize("options, said", OPTIONS.values(), ids=OPTIONS)
def test_a_bad_option_is_refused_by_name(tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    trace = write(tmp_path, GOOD)
    out = [] if "--out" in options else ["--out", tmp_path / "ledger.csv"]
    result = call("attribute", trace, *options, *out)
    assert_refused(result, said, tmp_path, ["trace.csv"])


def test_a_missing_trace_is_named(tmp_path):
    result = call("attribute", tmp_path / "gone.csv")
    assert_refused(result, "gone.csv", tmp_path, [])


def test_tenants_must_be_known_to_be_players(tmp_path):
    trace = write(tmp_path, "arrival,prompt_tokens,decode_tokens\n0.0,5,5\n")
    result = call("attribute", trace, "--players", "tenant")
    assert_refused(result, "--tenants", tmp_path, ["trace.csv"])


def test_an_intensity_that_does_not_cover_the_window_is_refused(tmp_path):
    trace = write(tmp_path, AZURE)
    series = write(tmp_path, SERIES, "grid.csv")
    result = call("attribute", trace, "--tz", "UTC", "--intensity", series)
    assert_refused(result, "grid.csv", tmp_path, ["trace.csv", "grid.csv"])


def test_a_series_needs_a_calendar(tmp_path):
    trace = write(tmp_path, GOOD)
    series = write(tmp_path, SERIES, "grid.csv")
    result = call("attribute", trace, "--intensity", series)
    assert_refused(result, "`--epoch`", tmp_path, ["trace.csv", "grid.csv"])


def test_an_epoch_is_not_given_twice(tmp_path):
    trace = write(tmp_path, AZURE)
    epoch = ["--epoch", "2023-11-16T18:00Z"]
    result = call("attribute", trace, "--tz", "UTC", *epoch)
    assert_refused(result, "time stamps of its own", tmp_path, ["trace.csv"])


def test_a_trace_that_asks_for_nothing_is_named(tmp_path):
    trace = write(tmp_path, HEADER + "a,ann,0.0,0,0\n")
    result = call("attribute", trace)
    assert_refused(result, "trace.csv: every request", tmp_path, ["trace.csv"])


@pytest.mark.parametrize(
    "header, values, said",
    [
        ("time,a,b\n", "Z,1,2", "`--intensity-column`"),
        ("time,a\n", "Z,1", "`--intensity-missing nearest`"),
        ("time,a\n", ",1", "`--intensity-tz UTC`"),
    ],
)
def test_ways_out_of_a_bad_series_are_options(tmp_path, header, values, said):
    hours = [f"2020-01-01T0{hour}:00{values}\n" for hour in (0, 1, 2, 3, 5)]
    series = write(tmp_path, header + "".join(hours), "grid.csv")
    result = call("attribute", write(tmp_path, GOOD), "--intensity", series)
    assert_refused(result, said, tmp_path, ["trace.csv", "grid.csv"])


def test_an_error_within_carbjax_is_one_line_and_exit_code_1(tmp_path, monkeypatch):
    def fail(*_):
        raise CarbjaxError("the run did not end.")

    monkeypatch.setattr("carbjax._cli.sample.trace_path", fail)
    result = call("validate", write(tmp_path, GOOD))
    assert (result.exit_code, result.stderr) == (1, "carbjax: the run did not end.\n")


def test_a_process_that_refuses_exits_with_2(tmp_path):
    script = "from carbjax._cli.main import main; main()"
    command = [sys.executable, "-c", script, "validate", write(tmp_path, HEADER)]
    for _ in range(5):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("carbjax: ") and done.stderr.count("\n") == 1
