"""Several models in one ledger, and electricity that was bought at a changing intensity."""

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import carbjax as cj
from carbjax._ledger.systems import read_systems
from carbjax._settings.sections import SystemSettings
from tests.cli.calling import call, write
from tests.fleets import EPOCH, changing_intensity
from tests.ledger import fleet
from tests.ledger.rows import write as write_rows

MODELS = {"large": "ab", "small": "cd"}
SUMS = ("energy_j", "prefill_gco2e", "decode_gco2e", "embodied_gco2e")
MARKET = "market_operational_gco2e"


def systems() -> dict[str, cj.System]:
    """Two systems that compile alike, and a third that nobody asks for."""
    return {"large": fleet.system(), "small": fleet.system(pue=1.5), "other": None}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, source, two_lanes):
    """The fleet below folders of two models."""
    folder = tmp_path_factory.mktemp("mixed") / "fleet"
    for model, names in MODELS.items():
        target = folder / f"model={model}"
        target.mkdir(parents=True)
        for name in names:
            (target / f"backend={name}").symlink_to(source / f"backend={name}")
    return [path for path in sorted(folder.glob("model=*/backend=*"))]


@pytest.fixture(scope="module")
def of_two(tmp_path_factory, mixed, kept_programs):
    out = tmp_path_factory.mktemp("two") / "ledger"
    backends = cj.find_backends(mixed)
    return cj.make_ledger(backends, systems(), out, workers=1, slice_rows=fleet.SLICE)


def rows_of(ledger: cj.FleetLedger, names: str) -> list[dict]:
    rows = ledger.table("requests").to_pylist()
    found = [row for row in rows if row["backend"] in names]
    return sorted(found, key=lambda row: (row["backend"], row["row"]))


def test_each_backend_is_served_by_its_model_s_system(of_two, made, source, tmp_path):
    small = fleet.make(source, tmp_path / "ledger", of=fleet.system(pue=1.5))
    for model, other in (("large", made), ("small", small)):
        mine, theirs = (rows_of(ledger, MODELS[model]) for ledger in (of_two, other))
        assert {row["model"] for row in mine} == {model}
        for row, expected in zip(mine, theirs, strict=True):
            assert row["request_id"] == expected["request_id"]
            found, right = ([each[name] for name in SUMS] for each in (row, expected))
            np.testing.assert_allclose(found, right, rtol=1e-9)


def test_sums_by_model_are_those_of_its_requests(of_two):
    found = {row["model"]: row for row in of_two.table("by_model").to_pylist()}
    assert found.keys() == MODELS.keys()
    for model, names in MODELS.items():
        rows = rows_of(of_two, names)
        assert found[model]["requests"] == len(rows)
        for column in SUMS:
            expected = sum(row[column] for row in rows)
            assert found[model][column] == pytest.approx(expected, rel=1e-12)
    served = {r["backend"]: r["model"] for r in of_two.table("by_backend").to_pylist()}
    assert served == {name: model for model, names in MODELS.items() for name in names}


def test_idle_machines_are_those_of_their_model(of_two, made):
    mine, theirs = (ledger.table("idle").to_pylist() for ledger in (of_two, made))
    for row, expected in zip(mine, theirs, strict=True):
        factor = 1.5 / 1.1 if row["model"] == "small" else 1.0
        assert row["backend"] == expected["backend"]
        assert row["idle_gco2e"] == pytest.approx(factor * expected["idle_gco2e"])


def test_the_manifest_has_the_systems_in_use_and_closes(of_two):
    manifest, totals = of_two.manifest, of_two.manifest["totals"]
    assert manifest["systems"].keys() == MODELS.keys()
    assert manifest["systems"]["small"]["pue"] == 1.5
    for column in ("energy_j", "gco2e"):
        parts = sum(totals[part][column] for part in ("requests", "idle", "unattributed"))
        assert parts == pytest.approx(totals["total"][column], rel=1e-12)
    assert [group["model"] for group in manifest["groups"]] == ["large", "small"]


def test_a_model_without_a_system_is_named(mixed, tmp_path):
    backends = cj.find_backends(mixed)
    for given, message in (
        ({"large": fleet.system(), "smal": None}, "'c' serves 'small'.*Is it 'smal'"),
        (fleet.system(), "several models: large, small.*--systems"),
    ):
        with pytest.raises(cj.ConfigError, match=message):
            cj.make_ledger(backends, given, tmp_path / "ledger")
    (tmp_path / "lone").mkdir()
    lone = cj.find_backends([write_rows(tmp_path / "lone" / "x.parquet", 0.0)])
    with pytest.raises(cj.ConfigError, match="do not say which model backend 'x' serves"):
        cj.make_ledger(lone, systems(), tmp_path / "ledger")


def _constant(folder: pathlib.Path) -> None:
    for hour in "12":
        column = pa.array(["x", "x"]).dictionary_encode()
        write_rows(folder / f"backend=a/{hour}.parquet", 0.0, 1.0, model=column)


def _without_statistics(folder: pathlib.Path) -> None:
    _constant(folder)
    for file in folder.rglob("*.parquet"):
        table = pq.ParquetFile(file).read()
        pq.write_table(table, file, write_statistics=False)


@pytest.mark.parametrize("make", [_constant, _without_statistics])
def test_a_constant_column_says_the_model(make, tmp_path):
    make(tmp_path)
    (backend,) = cj.find_backends([tmp_path])
    assert backend.model == "x"


def test_folders_of_models_without_backends_are_a_backend_each(tmp_path):
    for model in "xy":
        write_rows(tmp_path / "fleet" / f"model={model}" / "0.parquet", 0.0)
    found = cj.find_backends([tmp_path / "fleet"])
    assert [(b.name, b.model) for b in found] == [("fleet/x", "x"), ("fleet/y", "y")]


def _two_in_a_file(folder):
    write_rows(folder / "a.parquet", 0.0, 1.0, model=pa.array(["x", "y"]))


def _none_in_a_row(folder):
    write_rows(folder / "a.parquet", 0.0, 1.0, model=pa.array(["x", None]))


def _another_than_its_folder(folder):
    write_rows(folder / "model=z" / "a.parquet", 0.0, model=pa.array(["x"]))


def _two_of_a_backend(folder):
    for model in "xy":
        write_rows(folder / f"model={model}/backend=a/0.parquet", 0.0)


@pytest.mark.parametrize(
    "make, message",
    [
        (_two_in_a_file, "'[xy]' and '[xy]', and a backend serves one.*Partition by it"),
        (_none_in_a_row, "rows without a model"),
        (_another_than_its_folder, "'x' and 'z', and a backend serves one"),
        (_two_of_a_backend, "'a' serves 'y' here, and 'x' before"),
    ],
)
def test_a_backend_of_two_models_is_refused(make, message, tmp_path):
    make(tmp_path)
    with pytest.raises(cj.InputError, match=message) as caught:
        cj.find_backends([tmp_path])
    assert caught.value.file


def test_a_file_of_systems_says_what_differs(tmp_path):
    path = tmp_path / "models.toml"
    path.write_text(
        '["llama-3.1-8b"]\nmax_num_seqs = 64\n'
        '[chat]\nmodel = "llama-3.1-70b"\ntensor_parallel = 4\n'
    )
    found = read_systems(path, SystemSettings(pue=1.3, max_num_seqs=32))
    assert list(found) == ["llama-3.1-8b", "chat"]
    assert [s.max_num_seqs for s in found.values()] == [64, 32]
    assert found["chat"].model.name == "llama-3.1-70b" and found["chat"].pue == 1.3
    for text, message in (
        ('[x]\nmodel = "nothing-8b"\n', "nothing-8b"),
        ("[x]\nmax_seqs = 1\n", "`x.max_seqs` is not known"),
        ("", "no tables"),
        ("x = 1\n", "`x` is no table"),
    ):
        path.write_text(text)
        with pytest.raises(cj.ConfigError, match=message):
            read_systems(path)


def bought() -> cj.Intensity:
    """A series that changes when that of the grid does not."""
    edges = EPOCH.timestamp() - 2.5 + 1.7 * np.arange(41)
    return cj.Intensity(edges, 20.0 + 30.0 * np.random.default_rng(1).random(40))


def test_bought_electricity_counts_at_its_own_series(tmp_path, made, source, two_lanes):
    both = fleet.make(source, tmp_path / "both", market_intensity=bought())
    market = fleet.make(source, tmp_path / "market", of=fleet.system(bought()))
    for ledger, column in ((made, "prefill_gco2e"), (made, "decode_gco2e")):
        found, right = (x.table("requests").sort_by("request_id") for x in (both, ledger))
        mean = right[column].to_numpy().mean()
        assert found["request_id"] == right["request_id"]
        np.testing.assert_allclose(found[column], right[column], atol=1e-6 * mean)
    found, right = (x.table("requests").sort_by("request_id") for x in (both, market))
    grams = right["prefill_gco2e"].to_numpy() + right["decode_gco2e"].to_numpy()
    np.testing.assert_allclose(found[MARKET], grams, atol=1e-6 * grams.mean())
    idle = market.table("idle")["idle_gco2e"].to_numpy()
    np.testing.assert_allclose(both.table("idle")[MARKET], idle, rtol=1e-9)
    totals = both.manifest["totals"]
    rows = both.table("requests")[MARKET].to_numpy().sum()
    assert totals["requests"][MARKET] == pytest.approx(rows, rel=1e-12)
    for name in ("by_tenant", "by_hour", "by_backend", "by_model"):
        assert both.table(name)[MARKET].to_numpy().sum() == pytest.approx(rows, rel=1e-12)
    total = totals["total"][MARKET]
    expected = market.manifest["totals"]["total"]["operational_gco2e"]
    assert total == pytest.approx(expected, rel=1e-6)
    assert abs(both.manifest["residual"][MARKET]) < 1e-9 * total


def test_a_market_series_that_ends_too_early_is_an_error(tmp_path, made, source):
    edges = EPOCH.timestamp() - 1.0 + np.arange(3)
    with pytest.raises(cj.IntensityError, match="covers.*was asked for"):
        short = cj.Intensity(edges, [30.0, 40.0])
        fleet.make(source, tmp_path / "ledger", market_intensity=short)
    with pytest.raises(cj.IntensityError, match="no time in common"):
        far = cj.Intensity(edges + 1e6, [30.0, 40.0])
        fleet.make(source, tmp_path / "far", market_intensity=far)
    with pytest.raises(cj.ConfigError, match="it differs in market_intensity"):
        fleet.make(source, tmp_path / "ledger", market_intensity=bought())


def test_a_gap_in_the_market_series_is_an_error(tmp_path, source):
    hours = [h for h in range(12) if h != 5]
    lines = [f"2024-05-01T{h:02d}:00:00,{20 + h}\n" for h in hours]
    series = write(tmp_path, "time (UTC),bought\n" + "".join(lines), "bought.csv")
    asked = ("--market-intensity", series, "--out", tmp_path / "ledger")
    result = call("ledger", source, *asked)
    assert result.exit_code == 2
    assert f"{series}, row 7" in result.stderr and "missing from 2024-05-01T05" in (
        result.stderr
    )


def test_intensities_of_two_series_change_only_together():
    grid, market = changing_intensity(), bought()
    whole, other = grid.split_at(market), market.split_at(grid)
    np.testing.assert_array_equal(whole.edges_s, other.edges_s)
    middle = (whole.edges_s[1:] + whole.edges_s[:-1]) / 2 - EPOCH.timestamp()
    for split, series in ((whole, grid), (other, market)):
        right = np.asarray(series.relative(EPOCH).at(middle))
        np.testing.assert_array_equal(split.values, right)
    constant = cj.Intensity.constant(300.0).split_at(market)
    np.testing.assert_array_equal(constant.edges_s, market.edges_s)
    assert (constant.values == 300.0).all()
