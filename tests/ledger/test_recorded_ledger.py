"""A ledger from the logs of a server: what it did, and what its meter counted."""

import dataclasses as dc
import datetime as dt
import json

import numpy as np
import pytest
from click.testing import CliRunner

import carbjax as cj
from carbjax._cli.main import carbjax
from carbjax._ledger.recorded import make_recorded_ledger
from carbjax._units import JOULES_PER_KWH

EPOCH = dt.datetime(2025, 3, 1, 12, 30, tzinfo=dt.UTC)
# Request, tenant, arrival (s), prompt, answer; and iterations by start, end, tokens.
REQUESTS = (("a", "x", 0.0, 90, 3), ("b", "y", 0.01, 40, 2), ("c", "x", 0.02, 0, 0))
ITERATIONS = (
    (0.00, 0.02, {"a": 90}),
    (0.02, 0.03, {"a": 1}),
    (0.03, 0.05, {"a": 1, "b": 40}),
    (0.06, 0.07, {"b": 1}),
)
IDLE_W, JOULES = 76.0, 40.0


@pytest.fixture(scope="module")
def system():
    return cj.System.load("h200-sxm", "llama-3.1-8b", carbon_intensity=400.0)


@pytest.fixture
def logs(tmp_path):
    """Paths of the requests, the iterations and the meter."""
    rows = [
        f"{name},{tenant},{(EPOCH + dt.timedelta(seconds=s)).isoformat()},{p},{d}\n"
        for name, tenant, s, p, d in REQUESTS
    ]
    header = "request_id,tenant_id,arrival,prompt_tokens,decode_tokens\n"
    requests = tmp_path / "requests.csv"
    requests.write_text(header + "".join(rows))
    lines = [
        {"start_s": 5 + s, "end_s": 5 + e, "tokens": tokens} for s, e, tokens in ITERATIONS
    ]
    clock = {"clock": {"unix_s": EPOCH.timestamp(), "monotonic_s": 5.0}}
    iterations = tmp_path / "iterations.jsonl"
    iterations.write_text("".join(json.dumps(x) + "\n" for x in (clock, *lines)))
    meter = tmp_path / "meter.csv"
    end = EPOCH + dt.timedelta(seconds=0.07)
    meter.write_text(
        f"time,energy_j\n{EPOCH.isoformat()},1000\n{end.isoformat()},{1000 + JOULES}\n"
    )
    return requests, iterations, meter


def test_requests_are_charged_what_the_recorded_schedule_says(tmp_path, logs, system):
    requests, iterations, _ = logs
    ledger = make_recorded_ledger(requests, iterations, system, tmp_path / "out")
    rows = ledger.table("requests").to_pylist()
    schedule = cj.RecordedSchedule(
        [0.0, 0.02, 0.03, 0.06],
        [0.02, 0.01, 0.02, 0.01],
        [90, 40, 0],
        [3, 2, 0],
        first_iteration=[0, 2, 0],
        last_iteration=[2, 3, 0],
    )
    expected = cj.attribute_recorded(schedule, system)
    grams = [row["prefill_gco2e"] + row["decode_gco2e"] for row in rows]
    np.testing.assert_allclose(grams, expected.shares, rtol=1e-9)
    assert [row["request_id"] for row in rows] == ["a", "b", "c"]
    assert [row["row"] for row in rows] == [0, 1, 2]
    finish = [row["finish_s"] for row in rows]
    np.testing.assert_allclose(finish[:2], [0.05, 0.06], atol=1e-6)
    assert finish[2] is None
    assert ledger.total_gco2e == pytest.approx(expected.total, rel=1e-6)
    assert ledger.manifest["method"] == "recorded" and "meter" not in ledger.manifest
    tenants = ledger.table("by_tenant").to_pylist()
    assert {t["tenant_id"]: t["requests"] for t in tenants} == {"x": 2, "y": 1}


def test_the_ledger_s_electricity_is_the_meter_s(tmp_path, logs, system):
    requests, iterations, meter = logs
    ledger = make_recorded_ledger(
        requests, iterations, system, tmp_path / "out", meter=meter
    )
    totals, about = ledger.manifest["totals"], ledger.manifest["meter"]
    host_w = float(system.footprint.host_power)
    site_j = (JOULES + host_w * 0.07) * system.pue
    # Instants are kept to 0.2 us, of which the standing power is made.
    assert totals["total"]["energy_j"] == pytest.approx(site_j, rel=1e-6)
    grams = site_j * 400.0 / JOULES_PER_KWH
    assert totals["total"]["operational_gco2e"] == pytest.approx(grams, rel=1e-6)
    parts = (totals[name]["gco2e"] for name in ("requests", "idle", "unattributed"))
    assert sum(parts) == pytest.approx(totals["total"]["gco2e"], rel=1e-12)
    assert about["measured_j"] == pytest.approx(JOULES)
    assert about["measured_over_modelled"] > 0


def test_what_a_meter_counts_while_nothing_runs_is_nobody_s(tmp_path, logs, system):
    requests, iterations, meter = logs
    edges = 0.0, 0.05, 0.06, 0.07
    joules = np.cumsum([0, 32.0, 5.0, 3.0])  # between the two middle ones nothing ran
    stamps = [(EPOCH + dt.timedelta(seconds=s)).isoformat() for s in edges]
    rows = [f"{t},{j}\n" for t, j in zip(stamps, joules, strict=True)]
    meter.write_text("time,energy_j\n" + "".join(rows))
    ledger = make_recorded_ledger(
        requests, iterations, system, tmp_path / "out", meter=meter
    )
    totals = ledger.manifest["totals"]
    beyond_j = (5.0 - IDLE_W * 0.01) * system.pue
    assert totals["unattributed"]["energy_j"] == pytest.approx(beyond_j, rel=1e-6)
    site_j = (JOULES + float(system.footprint.host_power) * 0.07) * system.pue
    assert totals["total"]["energy_j"] == pytest.approx(site_j, rel=1e-6)


def test_bought_electricity_counts_at_its_own_series(tmp_path, logs, system):
    requests, iterations, meter = logs
    edges = EPOCH.timestamp() + np.array([-1.0, 0.035, 1.0])
    bought = cj.Intensity(edges, [30.0, 90.0])
    there = dc.replace(system, carbon_intensity=bought)
    both, market = (
        make_recorded_ledger(requests, iterations, of, tmp_path / name, **asked)
        for name, of, asked in (
            ("both", system, {"meter": meter, "market_intensity": bought}),
            ("market", there, {"meter": meter}),
        )
    )
    name = "market_operational_gco2e"
    rows = market.table("requests")
    grams = rows["prefill_gco2e"].to_numpy() + rows["decode_gco2e"].to_numpy()
    np.testing.assert_allclose(both.table("requests")[name], grams, rtol=1e-12)
    for part, sums in both.manifest["totals"].items():
        expected = market.manifest["totals"][part]["operational_gco2e"]
        assert sums[name] == pytest.approx(expected, rel=1e-9), part


def test_another_meter_is_another_ledger(tmp_path, logs, system):
    requests, iterations, meter = logs
    out = tmp_path / "out"
    make_recorded_ledger(requests, iterations, system, out, meter=meter)
    again = make_recorded_ledger(requests, iterations, system, out, meter=meter)
    assert again.manifest["requests"] == 3
    with pytest.raises(cj.ConfigError, match="something else"):
        make_recorded_ledger(requests, iterations, system, out)


def test_the_command_line_makes_it(tmp_path, logs):
    requests, iterations, meter = map(str, logs)
    asked = ["ledger", requests, "--iterations", iterations, "--meter", meter]
    done = CliRunner().invoke(carbjax, [*asked, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "as recorded" in done.output and "times what the model says" in done.output


def test_a_meter_needs_iterations(tmp_path, logs):
    requests, _, meter = map(str, logs)
    asked = ["ledger", requests, "--meter", meter, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(carbjax, asked)
    assert done.exit_code == 2 and "--iterations" in done.output
