"""What the experiments share: settings, cuts, tables, and words where data are missing."""

import importlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

import carbjax as cj
from experiments import distances, games
from experiments.workbench.cuts import compress, first_request
from experiments.workbench.drawing import new_figure
from experiments.workbench.settings import config_path, read_settings
from experiments.workbench.tables import to_table, where, write

SCRIPTS = (
    "distance_drivers",
    "distances",
    "figure1_operators",
    "games",
    "incentive_curves",
    "long_generation",
    "operational_embodied",
    "tenants",
    "time_of_day",
    "uncertainty",
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_configuration_has_all_settings_and_no_others(name):
    script = importlib.import_module(f"experiments.{name}")
    settings = read_settings(script.Settings, config_path(name))
    assert script.NAME == name and all(value is not None for value in settings)


def test_changes_replace_settings_of_the_file():
    path = config_path("games")
    changed = read_settings(games.Settings, path, ["num_cuts=1", "loads=[2.0, inf]"])
    assert (changed.num_cuts, changed.loads) == (1, (2.0, np.inf))
    assert changed.seed == read_settings(games.Settings, path).seed


@pytest.mark.parametrize(
    ("text", "said"), [("num_cuts = 1", "lacks"), ("num_cut = 1", "unknown")]
)
def test_a_wrong_setting_is_named(tmp_path, text, said):
    path = tmp_path / "games.toml"
    whole = config_path("games").read_text(encoding="utf-8")
    path.write_text(text if said == "lacks" else f"{text}\n{whole}", encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read_settings(games.Settings, path)


def test_compression_keeps_the_requests_and_their_order():
    workload = cj.Workload([5.0, 6.0, 9.0], [10, 20, 30], [1, 2, 3])
    faster = compress(workload, 10.0)
    np.testing.assert_allclose(faster.arrival_s, [0.0, 0.1, 0.4])
    assert not compress(workload, np.inf).arrival_s.any()
    np.testing.assert_array_equal(faster.num_prefill_tokens, workload.num_prefill_tokens)
    np.testing.assert_array_equal(faster.num_decode_tokens, workload.num_decode_tokens)


def test_cuts_lie_within_the_trace():
    trace = cj.Workload(np.arange(9.0), np.ones(9, int), np.ones(9, int))
    places = {first_request(trace, cut, 7, seed=1) for cut in range(50)}
    assert places == {0, 1, 2}


def test_the_same_numbers_make_the_same_files(tmp_path):
    gaps = [games.Gap(0, 5, "static", load, 1.0, 0.1, 0.2, 0.3) for load in (1.0, 3.0)]
    rows = to_table(gaps)
    assert where(rows, load=3.0).num_rows == 1
    contents = []
    for name in ("one", "other"):
        figure, ((axes,),) = new_figure(2, 2)
        axes.plot(rows["load"], rows["apart"])
        paths = write("games", {"games": rows}, figure, tmp_path / name)
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert pa_csv.read_csv(paths[0]).column_names == list(games.Gap._fields)


@pytest.mark.parametrize(("text", "quote"), [("plain", ""), ("one, two", '"')])
def test_texts_are_quoted_where_one_needs_it(tmp_path, text, quote):
    rows = pa.table({"said": [text, "no", None], "number": [1.0, 2.0, 3.0]})
    path = write("said", {"said": rows}, new_figure(1, 1)[0], tmp_path)[0]
    assert path.read_text().splitlines()[2] == f"{quote}no{quote},2"
    assert pa_csv.read_csv(path)["said"].to_pylist()[:2] == [text, "no"]


def test_without_the_trace_it_says_where_it_looked(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CARBJAX_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["distances.py"])
    with pytest.raises(SystemExit) as stopped:
        distances.main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert str(tmp_path) in message and "CARBJAX_DATA" in message
