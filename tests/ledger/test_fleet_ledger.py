"""What a fleet's ledger holds, against `attribute` and plain sums."""

import dataclasses as dc
import hashlib

import numpy as np
import pytest

import carbjax as cj
from tests.fleets import EPOCH, changing_intensity
from tests.ledger import fleet

MARKET = 50.0
CLOCK = 1e-6  # relative: Unix seconds are told apart to 0.24 us, and a run takes seconds
GRAMS = ("prefill_gco2e", "decode_gco2e", "embodied_gco2e")


def rows_of(ledger: cj.FleetLedger, backend: str) -> dict[str, np.ndarray]:
    """Columns of a backend's requests, in the order in which they came."""
    table = ledger.table("requests")
    table = table.filter(np.array([b == backend for b in table["backend"].to_pylist()]))
    return {k: v.to_numpy() for k, v in zip(table.column_names, table.sort_by("row"))}


@pytest.fixture(scope="module")
def expected(made):
    """`attribute`'s answer for each backend, which is a server of its own."""
    found = {}
    for number, name in enumerate(fleet.NAMES):
        table = fleet.requests(number)
        micros = table["arrival"].cast("int64").to_numpy() - int(EPOCH.timestamp() * 1e6)
        tokens = (table[c].to_numpy() for c in ("prompt_tokens", "decode_tokens"))
        workload = cj.Workload(micros / 1e6, *tokens, epoch=EPOCH)
        found[name] = cj.attribute(workload, fleet.system(), method="streaming")
    return found


def test_every_request_stands_in_it_once(made):
    for number, name in enumerate(fleet.NAMES):
        given, found = fleet.requests(number), rows_of(made, name)
        assert (found["row"] == np.arange(fleet.EACH)).all()
        for column in ("request_id", "tenant_id", "prompt_tokens", "decode_tokens"):
            assert found[column].tolist() == given[column].to_pylist()
        assert (found["arrival"] == given["arrival"].to_numpy()).all()
    assert made.manifest["requests"] == fleet.EACH * len(fleet.NAMES)


@pytest.mark.parametrize("name", fleet.NAMES)
def test_requests_are_charged_as_by_attribute(name, made, expected):
    found, parts = rows_of(made, name), expected[name].components
    for column, part in zip(GRAMS, ("prefill", "decode", "embodied"), strict=True):
        mean = np.abs(parts[part]).mean()
        assert np.abs(found[column] - parts[part]).max() <= 1e-3 * mean
    total = sum(found[column].sum() for column in GRAMS)
    assert total == pytest.approx(expected[name].shares.sum(), rel=CLOCK)


def test_idle_rows_are_what_the_empty_machine_emits(made, expected):
    idle = made.table("idle").to_pylist()
    for name in fleet.NAMES:
        rows = [row for row in idle if row["backend"] == name]
        parts = expected[name].unattributed_components
        for column, part in (("idle_gco2e", "idle"), ("embodied_gco2e", "embodied")):
            found = sum(row[column] for row in rows)
            assert found == pytest.approx(parts[part], rel=CLOCK)
        joules = sum(row["energy_j"] for row in rows)
        assert joules == pytest.approx(expected[name].unattributed_energy_j, rel=CLOCK)


def test_the_manifest_closes_and_names_its_inputs(made, source, expected):
    manifest, totals = made.manifest, made.manifest["totals"]
    for column in ("energy_j", "operational_gco2e", "embodied_gco2e", "gco2e"):
        parts = (totals[p][column] for p in ("requests", "idle", "unattributed"))
        assert sum(parts) == pytest.approx(totals["total"][column], rel=1e-12)
    assert made.total_gco2e == pytest.approx(
        sum(e.total for e in expected.values()), rel=CLOCK
    )
    assert max(map(abs, manifest["residual"].values())) < 1e-9
    for file in source.rglob("*.parquet"):
        known = manifest["inputs"][str(file)]
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        assert known == {"bytes": len(content), "sha256": digest}
    for name, count in manifest["rows"].items():
        assert made.table(name).num_rows == count
    for key in ("carbjax", "libraries", "systems", "method", "slice_rows", "groups"):
        assert manifest[key]


@pytest.mark.parametrize("key", ["tenant", "hour", "backend", "model"])
def test_roll_ups_are_sums_of_rows(key, made):
    column = {"tenant": "tenant_id"}.get(key, key)
    rows = made.table("requests").to_pylist()
    found = {row[column]: row for row in made.table(f"by_{key}").to_pylist()}
    assert found.keys() == {row[column] for row in rows}
    for value, row in found.items():
        mine = [r for r in rows if r[column] == value]
        assert row["requests"] == len(mine)
        for name in ("prompt_tokens", "decode_tokens", "energy_j", *GRAMS):
            expected = sum(r[name] for r in mine)
            assert row[name] == pytest.approx(expected, rel=1e-12)
        grams = sum(row[name] for name in GRAMS)
        tokens = row["prompt_tokens"] + row["decode_tokens"]
        assert row["sci_gco2e_per_request"] == pytest.approx(grams / len(mine), rel=1e-12)
        assert row["sci_gco2e_per_token"] == pytest.approx(grams / tokens, rel=1e-12)


def test_the_idle_share_by_usage_adds_up_to_idle(made):
    shares = made.table("by_tenant")["idle_by_usage_gco2e"].to_numpy()
    idle = made.manifest["totals"]["idle"]["gco2e"]
    assert shares.sum() == pytest.approx(idle, rel=1e-12)
    assert (shares > 0).all()


def test_times_are_in_order_and_null_players_have_none(made):
    found = rows_of(made, "a")
    real = np.arange(fleet.EACH) != 5
    start, first, finish = (found[c] for c in ("start_s", "first_token_s", "finish_s"))
    for times in (start, first, finish):
        assert (np.isfinite(times) == real).all()
    assert (0 <= start[real]).all()
    assert (start[real] < first[real]).all() and (first[real] <= finish[real]).all()
    assert all(found[column][5] == 0 for column in ("energy_j", *GRAMS))


def test_bought_electricity_has_a_column_of_its_own(tmp_path, made, source, two_lanes):
    bought = fleet.make(source, tmp_path / "ledger", market_intensity=MARKET)
    for name in ("requests", "by_tenant", "by_hour", "by_backend", "idle"):
        table = bought.table(name)
        grams = table["market_operational_gco2e"].to_numpy()
        expected = table["energy_j"].to_numpy() * MARKET / 3.6e6
        np.testing.assert_allclose(grams, expected, rtol=1e-12)
        new = [c for c in table.column_names if c.startswith("market_")]
        assert table.drop_columns(new) == made.table(name)
    tenants = bought.table("by_tenant")
    each = tenants["market_operational_gco2e"].to_numpy() / tenants["requests"].to_numpy()
    found = tenants["market_sci_gco2e_per_request"].to_numpy()
    np.testing.assert_allclose(found, each, rtol=1e-12)  # always on: nothing embodied
    totals = bought.manifest["totals"]
    joules = totals["total"]["energy_j"]
    market = totals["total"]["market_operational_gco2e"]
    assert market == pytest.approx(joules * MARKET / 3.6e6, rel=1e-12)


@dc.dataclass(frozen=True)
class Named:
    """A backend of which nothing is read."""

    name: str
    num_requests: int = 1
    has_calendar: bool = True
    inputs: tuple[str, ...] = ()
    model: str | None = None
    rejects: bool = False

    def batches(self, skip: int, size: int):
        raise NotImplementedError


@pytest.mark.parametrize(
    "backends, asked, message",
    [
        ([], {}, "no backends"),
        ([Named("a"), Named("a")], {}, "two backends are called 'a'"),
        ([Named("a", 0)], {}, "'a' has no requests"),
        ([Named("a"), Named("b", has_calendar=False)], {}, "'a' and 'b' count time"),
        ([Named("a", has_calendar=False)], {}, "seconds from an unknown start"),
        ([Named("a")], {"engine": "cluster"}, "One of processes, ray"),
        ([Named("a")], {"engine": "ray", "workers": 2}, "Leave it out"),
        ([Named("a")], {"slice_rows": 0}, "slice_rows"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(
    backends, asked, message, tmp_path
):
    with pytest.raises(cj.ConfigError, match=message):
        cj.make_ledger(backends, fleet.system(), tmp_path / "ledger", **asked)
    assert not (tmp_path / "ledger").exists()


def test_an_intensity_that_ends_too_early_is_an_error(tmp_path, made, source):
    short = fleet.system(changing_intensity(step_s=0.05))
    with pytest.raises(cj.IntensityError, match="covers.*was asked for"):
        fleet.make(source, tmp_path / "ledger", of=short)


def test_nothing_else_stands_in_the_folder(made):
    names = {path.name for path in made.folder.iterdir()}
    sums = ("by_tenant", "by_hour", "by_backend", "by_model", "idle")
    tables = {f"{name}.parquet" for name in sums}
    assert names == tables | {"requests", "manifest.json"}
    assert all(p.name.startswith("part-") for p in (made.folder / "requests").iterdir())


def test_a_table_that_is_not_there_is_an_error(made):
    with pytest.raises(cj.ConfigError, match="by_tenant"):
        made.table("../requests")
