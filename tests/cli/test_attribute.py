import json
import os

import pyarrow.csv
import pyarrow.parquet
import pytest

from .calling import GOOD, call, write


def carbon(ledger):
    return sum(ledger[c].to_numpy() for c in ("operational_gco2e", "embodied_gco2e"))


@pytest.mark.parametrize("idle", ["usage", "unattributed"])
def test_ledger_answer_and_total_agree(tmp_path, idle):
    trace, out = write(tmp_path, GOOD), tmp_path / "ledger.parquet"
    result = call("attribute", trace, "--idle", idle, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    ledger = pyarrow.parquet.read_table(out)
    assert carbon(ledger).sum() == pytest.approx(answer["total_gco2e"], rel=1e-9)
    left = carbon(ledger)[-1]
    assert left == pytest.approx(answer["unattributed_gco2e"], abs=1e-12)
    assert (left > 0) == (idle == "unattributed")
    assert ledger["tenant_id"].to_pylist() == ["ann", "bob", "ann", None]


def test_players_may_be_tenants_of_a_map(tmp_path):
    trace = write(tmp_path, GOOD)
    tenants = write(tmp_path, "request_id,tenant_id\na,x\nb,x\nc,y\n", "map.csv")
    out = tmp_path / "ledger.csv"
    command = ["attribute", trace, "--players", "tenant", "--tenants", tenants]
    result = call(*command, "--method", "tokens", "--out", out)
    assert result.exit_code == 0, result.output
    ledger = pyarrow.csv.read_csv(out)
    assert ledger["tenant_id"].to_pylist()[:2] == ["x", "y"]
    assert ledger["prompt_tokens"].to_pylist() == [300, 50, 0]


def test_screen_says_what_was_idle_embodied_and_left_over(tmp_path):
    result = call("attribute", write(tmp_path, GOOD), "--figure", tmp_path / "who.svg")
    assert result.exit_code == 0, result.output
    for said in ("idle", "embodied", "unattributed", "miss the total by", "who.svg"):
        assert said in result.stdout
    assert len(result.stdout.splitlines()) < 30
    assert (tmp_path / "who.svg").stat().st_size > 0


def test_json_is_all_that_is_on_standard_output(tmp_path):
    result = call("attribute", "sample", "--limit", "4", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["num_requests"] == 4
    assert sum(answer["components_gco2e"].values()) == pytest.approx(answer["total_gco2e"])


def test_a_window_keeps_ids_of_the_whole_trace(tmp_path):
    lines = "".join(f"2023-11-16 18:00:0{i}.0000000,{10 + i},{2 + i}\r\n" for i in range(6))
    trace = write(tmp_path, "TIMESTAMP,ContextTokens,GeneratedTokens\r\n" + lines)
    out = tmp_path / "ledger.csv"
    window = ["--from", "2023-11-16T18:00:01", "--until", "4", "--limit", "2"]
    result = call("attribute", trace, "--tz", "UTC", *window, "--out", out)
    assert result.exit_code == 0, result.output
    assert pyarrow.csv.read_csv(out)["prompt_tokens"].to_pylist() == [11, 12, 0]
    assert pyarrow.csv.read_csv(out)["request_id"].to_pylist()[:2] == ["1", "2"]


def test_intensity_scales_operational_carbon_alone(tmp_path):
    trace = write(tmp_path, GOOD)
    parts = []
    for intensity in (100, 300):
        result = call("attribute", trace, "--intensity", intensity, "--json")
        parts.append(json.loads(result.stdout)["components_gco2e"])
    for name, factor in (("decode", 3), ("idle", 3), ("embodied", 1)):
        assert parts[1][name] == pytest.approx(factor * parts[0][name], rel=1e-12)


def test_notes_of_the_trace_reach_screen_answer_and_ledger(tmp_path):
    trace = write(tmp_path, GOOD + "d,ann,0.2,0,0\n")
    out = tmp_path / "ledger.csv"
    result = call("attribute", trace, "--out", out, "--json")
    answer = json.loads(result.stdout)
    unsorted, null = answer["notes"]
    assert "before the one above" in unsorted and "ask for nothing" in null
    flags = pyarrow.csv.read_csv(out)["flags"][0].as_py()
    screen = call("attribute", trace).stdout
    for note in answer["notes"]:
        assert note in answer["flags"] and note in flags and f"Note: {note}" in screen


def test_an_epoch_places_a_trace_in_a_series_that_is_filled(tmp_path):
    rows = [f"2020-01-01T0{hour}:00Z,9,{100 * hour}\n" for hour in (1, 2, 3, 5)]
    series = write(tmp_path, "time,other,grid\n" + "".join(rows), "grid.csv")
    trace = write(tmp_path, GOOD)
    given = ["--intensity", series, "--intensity-column", "grid"]
    filled = ["--intensity-missing", "interpolate", "--epoch", "2020-01-01T04:10Z"]
    result = call("attribute", trace, *given, *filled, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    same = json.loads(call("attribute", trace, "--intensity", 400, "--json").stdout)
    assert answer["total_gco2e"] == pytest.approx(same["total_gco2e"], rel=1e-9)
    assert any("2020-01-01T04:10Z" in note for note in answer["notes"])


def test_a_ledger_replaces_the_old_one(tmp_path):
    trace, out = write(tmp_path, GOOD), write(tmp_path, "old", "ledger.csv")
    assert call("attribute", trace, "--out", out).exit_code == 0
    assert out.read_text() != "old"
    assert sorted(os.listdir(tmp_path)) == ["ledger.csv", "trace.csv"]
