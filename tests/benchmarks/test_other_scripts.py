"""The benchmarks that have a command of their own run, and say what they measured."""

import json

import numpy as np
import pytest

from benchmarks import gpu, precision


def test_marginals_are_differences_of_values():
    values = np.array([0.0, 1.0, 10.0, 13.0])  # of nobody, 0, 1, both
    found = precision._marginals(values)
    assert found.tolist() == [[1.0, 3.0], [10.0, 12.0]]


def test_values_are_numbered_by_members():
    trace = precision._made_up()
    small = trace.select(slice(0, 2))
    game = precision.cj.ServingGame(small, precision._system())
    values = precision._values(game)
    assert values[2] == pytest.approx(float(game(np.array([False, True]))), rel=1e-12)


@pytest.mark.slow
def test_an_accelerator_s_file_names_device_and_figures(tmp_path, capsys):
    gpu.main(["--quick", "--out", str(tmp_path)])
    (file,) = tmp_path.glob("*-quick.json")
    rows = json.loads(file.read_text())["rows"]
    assert {row["path"] for row in rows} == {
        "surrogate",
        "shapley of 4",
        "streaming",
        "agreement",
    }
    errors = {row["measured"]: row["value"] for row in rows if row["path"] == "agreement"}
    assert max(errors.values()) < 1e-5 and len(errors) == 2
    assert "streaming" in capsys.readouterr().out
