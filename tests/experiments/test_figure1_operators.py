"""The figure's points are the measurements, and its curves the surrogate's answers."""

import sys

import numpy as np
import pyarrow.csv as pa_csv
import pytest

import carbjax as cj
from experiments import figure1_operators as figure1
from experiments.workbench.settings import config_path, read_settings
from experiments.workbench.tables import to_table, where, write

SETTINGS = read_settings(figure1.Settings, config_path(figure1.NAME))
ONE_GPU = SETTINGS._replace(accelerators=("h200-sxm",), metered=("h200-sxm",))


def test_a_curve_is_one_layer_of_what_the_system_says():
    rows = to_table(list(figure1.curves(ONE_GPU)))
    system = cj.System.load("h200-sxm", SETTINGS.model)
    costs = system.operator_costs(figure1.prompt_of(np.array([1.0])))
    latency, power = (float(x[0]) for x in costs["qkv_projection"])
    assert power < 0.9 * system.accelerator.max_power  # so that the limit is no matter
    row = where(rows, operator="qkv_projection", num_tokens=1.0).to_pylist()[0]
    layers = system.model.num_layers
    assert row["latency_s"] == pytest.approx(latency / layers, rel=1e-5)
    assert row["energy_j"] == pytest.approx(latency * power / layers, rel=1e-2)


def test_no_curve_is_above_the_power_limit():
    rows = to_table(list(figure1.curves(ONE_GPU)))
    power = rows["power_w"].to_numpy()
    assert 600 < power.max() < 700


def test_points_are_measured_and_distrusted_powers_are_left_out(shared_data):
    rows = to_table(list(figure1.measured(ONE_GPU, shared_data)))
    qkv = where(rows, operator="qkv_projection")
    calls = cj.read_profile(shared_data / "aiconfigurator/h200_sxm/gemm.csv.gz")
    calls = calls.select((calls.n == 6144) & (calls.k == 4096))
    kept = calls.num_tokens <= SETTINGS.largest_batch
    np.testing.assert_allclose(
        np.sort(qkv["latency_s"]), np.sort(calls.latency_s[kept]), rtol=1e-5
    )
    known = ~np.asarray(qkv["power_w"].is_null())
    assert 0 < known.sum() < len(qkv)
    assert (qkv["latency_s"].to_numpy()[known] > 5e-5).all()
    assert set(where(rows, operator="lm_head")["kind"].to_pylist()) == {figure1.ASSEMBLED}


def test_the_sentence_follows_from_the_points():
    made = [
        figure1.point("x", "lm_head", figure1.MEASURED, m, 1e-3, 600.0) for m in (2.0, 20.0)
    ]
    made.append(figure1.point("x", "decode_attention", figure1.MEASURED, 4.0, 1e-3, 400.0))
    made.append(figure1.point("x", "decode_attention", figure1.MEASURED, 1.0, 1e-3, np.nan))
    told = figure1.sentence(to_table(made))
    assert "falls 10 times from 2 to 20 tokens" in told and "50% more" in told
    assert len(figure1.trusted_points(to_table(made))) == 3


@pytest.mark.slow
def test_the_files_hold_points_and_curves_of_every_operator(shared_data, tmp_path):
    points = [*figure1.curves(ONE_GPU), *figure1.measured(ONE_GPU, shared_data)]
    rows = to_table(points)
    drawn = figure1.draw(rows, ONE_GPU)
    csv, *images = write(figure1.NAME, {figure1.NAME: rows}, drawn, tmp_path / "new")
    written = pa_csv.read_csv(csv)
    for operator in figure1.OPERATORS:
        kinds = where(written, operator=operator)["kind"].unique().to_pylist()
        assert figure1.CURVE in kinds and len(kinds) > 1, operator
    assert all(image.stat().st_size > 0 for image in images)


def test_without_the_data_it_says_where_it_looked(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CARBJAX_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(sys, "argv", ["figure1_operators.py"])
    with pytest.raises(SystemExit) as stopped:
        figure1.main()
    assert stopped.value.code == 2
    assert "nowhere" in capsys.readouterr().err
