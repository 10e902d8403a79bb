"""`carbjax ledger`, called as a user does."""

import json

import pyarrow.parquet
import pytest

from tests.cli.calling import GOOD, call, write
from tests.ledger.texts import SHAPE, STAMPED


def test_a_trace_becomes_a_ledger_that_closes(tmp_path, quick):
    trace, out = write(tmp_path, STAMPED, "[bold].csv"), tmp_path / "ledger"
    command = ["ledger", trace, "--out", out, "--tenants", "tenant_id", *SHAPE]
    result = call(*command, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    rows = pyarrow.parquet.read_table(out / "requests").to_pylist()
    assert [row["request_id"] for row in rows] == ["a", "c", "b"]
    assert {row["tenant_id"] for row in rows} == {"ann", "bob"}
    grams = ("prefill_gco2e", "decode_gco2e", "embodied_gco2e")
    charged = sum(row[name] for row in rows for name in grams)
    assert charged == pytest.approx(answer["totals"]["requests"]["gco2e"], rel=1e-9)
    assert set(answer["totals"]) == {"requests", "idle", "unattributed", "total"}
    shown = call(*command)
    assert shown.exit_code == 0, shown.output
    for words in ("3 requests on 2 x", "misses what was emitted by", f"Wrote {out}."):
        assert words in shown.stdout


@pytest.mark.parametrize(
    "line, column",
    [
        ("d,ann,0.4,-1,4", "prompt_tokens"),
        ("d,ann,0.4,nan,4", "prompt_tokens"),
        ("d,ann,0.4,1.5,4", "prompt_tokens"),
        ("d,ann,0.4,1,4294967296", "decode_tokens"),
        ("d,ann,,1,4", "arrival"),
        ("a,ann,0.4,1,4", "request_id"),
    ],
)
def test_a_bad_row_is_exit_code_2_and_leaves_nothing(line, column, tmp_path):
    trace, out = write(tmp_path, GOOD + line + "\n"), tmp_path / "ledger"
    result = call("ledger", trace, "--out", out)
    assert result.exit_code == 2
    assert f"{trace}, row 5, column '{column}'" in result.stderr
    assert not out.exists()


def test_a_request_larger_than_the_cache_is_named(tmp_path, quick):
    trace = write(tmp_path, STAMPED + "big,ann,2024-05-01T09:51:00Z,60000,4\n")
    result = call("ledger", trace, "--out", tmp_path / "ledger", *SHAPE)
    assert result.exit_code == 2
    assert f"{trace}: request 'big' of backend 'trace.csv/1'" in result.stderr
    assert "60004 tokens of KV cache" in result.stderr


@pytest.mark.parametrize(
    "options, message",
    [
        (("--intensity", "SERIES"), "seconds from an unknown start"),
        (("--workers", "0"), "--workers"),
        (("--slice-rows", "0"), "--slice-rows"),
        (("--engine", "cluster"), "--engine"),
        (("--market-intensity", "-1"), "--market-intensity"),
    ],
)
def test_bad_options_are_exit_code_2(options, message, tmp_path):
    series = "time (UTC),g\n2024-01-01T00:00:00,1\n2024-01-01T01:00:00,2\n"
    path = write(tmp_path, series, "series.csv")
    options = [path if word == "SERIES" else word for word in options]
    trace = write(tmp_path, GOOD)
    result = call("ledger", trace, "--out", tmp_path / "ledger", *options)
    assert result.exit_code == 2
    assert message in result.stderr
