"""Rows that cannot be used: set aside with the reason, and nothing else is changed."""

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import carbjax as cj
from tests.cli.calling import GOOD, call, write
from tests.ledger import fleet
from tests.ledger.stops import stopped_often
from tests.ledger.texts import SHAPE, STAMPED

GRAMS = ("prefill_gco2e", "decode_gco2e", "embodied_gco2e", "energy_j")
# What a row says in place of the good one above it; where that shows, and how.
FAULTS = {
    "missing": ({"prompt_tokens": None}, "prompt_tokens", "is missing"),
    "negative": ({"decode_tokens": -1}, "decode_tokens", "is negative"),
    "huge": ({"prompt_tokens": 2**31}, "prompt_tokens", "is more than 2147483647"),
    "no time": ({"arrival": None}, "arrival", "is missing"),
    "far": ({"arrival": 10**17}, "arrival", "before 2000 or after 2100"),
    "early": ({"arrival": 10**15}, "arrival", "arrived before the one above it"),
    "large": ({"prompt_tokens": 60_000}, None, "tokens of KV cache, and"),
    "again": ({"request_id": "a3"}, "request_id", "'a3' is also the request of row 4 of"),
}
PLACES = (4, 5, 11, 12, 13, 27, 33, 39)  # of the good rows before which they stand


def bad_rows() -> tuple[pa.Table, list[int]]:
    """The rows of backend a among bad ones, and the places of these."""
    rows = fleet.requests(0).set_column(
        0, "arrival", fleet.requests(0)["arrival"].cast(pa.int64())
    )
    mixed, bad = rows.to_pylist(), []
    for place, (change, _, _) in sorted(
        zip(PLACES, FAULTS.values(), strict=True), reverse=True, key=lambda x: x[0]
    ):
        like = mixed[place - 1] | {"decode_tokens": 1, "request_id": f"bad{place}"}
        mixed.insert(place, like | change)
    bad = [i for i, row in enumerate(mixed) if row not in rows.to_pylist()]
    table = pa.Table.from_pylist(mixed, rows.schema)
    arrival = table["arrival"].cast(pa.timestamp("us", "UTC"))
    return table.set_column(0, "arrival", arrival), bad


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """The fleet of two backends, one with bad rows in two files."""
    folder = tmp_path_factory.mktemp("spoilt") / "fleet"
    table, bad = bad_rows()
    for hour, part in ((9, table[:20]), (10, table[20:])):
        target = folder / "backend=a" / f"hour={hour}"
        target.mkdir(parents=True)
        pq.write_table(part, target / "part-0.parquet", row_group_size=16)
    (folder / "backend=b").mkdir()
    pq.write_table(fleet.requests(1), folder / "backend=b" / "0.parquet")
    return folder


def make(source, out, **asked):
    backends = cj.find_backends([source], rejects=True)
    settings = {"workers": 1, "slice_rows": fleet.SLICE} | asked
    return cj.make_ledger(backends, fleet.system(), out, **settings)


@pytest.fixture(scope="module")
def kept(tmp_path_factory, spoilt, two_lanes, kept_programs):
    return make(spoilt, tmp_path_factory.mktemp("kept") / "ledger")


def test_each_bad_row_is_set_aside_with_its_reason(kept, spoilt):
    table, bad = bad_rows()
    rejects = kept.table("rejects").to_pylist()
    assert [reject["row"] for reject in rejects] == bad
    for reject, (_, column, problem) in zip(rejects, FAULTS.values(), strict=True):
        assert reject["backend"] == "a" and reject["column"] == column
        assert problem in reject["problem"]
        given = pq.ParquetFile(reject["file"]).read().to_pylist()[reject["file_row"] - 1]
        record = json.loads(reject["record"])
        assert record["request_id"] == given["request_id"]
        assert str(record["prompt_tokens"]) == str(given["prompt_tokens"])


def test_the_others_are_charged_as_if_there_were_no_bad_rows(kept, made):
    rows, good = (
        {row["request_id"]: row for row in ledger.table("requests").to_pylist()}
        for ledger in (kept, made)
    )
    assert rows.keys() == {name for name in good if name[0] in "ab"}
    for name, row in rows.items():
        for column in (*GRAMS, "finish_s"):
            expected = pytest.approx(good[name][column] or 0.0, rel=1e-9)
            assert (row[column] or 0.0) == expected, name
    _, bad = bad_rows()
    places = sorted(row["row"] for row in rows.values() if row["backend"] == "a")
    assert places == sorted(set(range(fleet.EACH + len(bad))) - set(bad))


def test_the_manifest_counts_every_row_that_was_read(kept):
    manifest, rows = kept.manifest, kept.manifest["rows"]
    assert manifest["rows_read"] == 2 * fleet.EACH + len(FAULTS)
    assert (rows["requests"], rows["rejects"]) == (2 * fleet.EACH, len(FAULTS))
    assert sum(manifest["rejects_by_column"].values()) == len(FAULTS)
    assert manifest["rejects_by_column"]["arrival"] == 3
    assert any("8 of 88 rows cannot be used" in flag for flag in manifest["flags"])


def test_a_ledger_with_rejects_goes_on_from_any_write(kept, spoilt, tmp_path, monkeypatch):
    out = tmp_path / "ledger"
    assert stopped_often(lambda: make(spoilt, out), out, monkeypatch) > 3
    assert fleet.content(out) == fleet.content(kept.folder)
    monkeypatch.setattr("carbjax._ledger.make._run", None)
    assert make(spoilt, out).manifest == kept.manifest


def test_rejects_that_are_gone_are_missed(kept, spoilt, tmp_path, monkeypatch):
    out = tmp_path / "ledger"
    make(spoilt, out)
    min((out / "rejects").iterdir()).unlink()
    with pytest.raises(cj.OutputError, match="rejects: holds 7 rows, and 8.*--fresh|holds"):
        make(spoilt, out)


def test_without_rejects_such_a_row_is_an_error_and_another_ledger(kept, spoilt):
    backends = cj.find_backends([spoilt])
    with pytest.raises(cj.ConfigError, match="differs in rejects"):
        cj.make_ledger(
            backends, fleet.system(), kept.folder, slice_rows=fleet.SLICE, workers=1
        )


def test_a_server_may_have_no_usable_row_and_a_ledger_must(
    tmp_path, two_lanes, kept_programs
):
    table = fleet.requests(0)[:3]
    bad = pa.array([-1, -2, -3], pa.int64())
    for name in "abcd":
        path = tmp_path / "fleet" / f"backend={name}" / "0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table.set_column(1, "prompt_tokens", bad), path)
    with pytest.raises(cj.TraceError, match="none of the 12 rows can be used") as caught:
        make(tmp_path / "fleet", tmp_path / "none")
    assert (caught.value.row, caught.value.column) == (1, "prompt_tokens")
    pq.write_table(fleet.requests(3), path)
    ledger = make(tmp_path / "fleet", tmp_path / "some")
    assert ledger.manifest["rows"]["rejects"] == 9
    assert ledger.manifest["requests"] == fleet.EACH
    assert {row["backend"] for row in ledger.table("idle").to_pylist()} == {"d"}


def test_labels_that_are_no_text_are_set_aside(tmp_path):
    broken = pa.array([b"ok", b"\xff\xfe", None], pa.binary()).view(pa.string())
    table = fleet.requests(0)[:3].set_column(4, "tenant_id", broken)
    pq.write_table(table, tmp_path / "a.parquet")
    (backend,) = cj.find_backends([tmp_path / "a.parquet"], rejects=True)
    rows = pa.concat_tables(backend.batches(0, 9))
    assert rows["problem"].to_pylist() == [None, "the value is no text (not UTF-8).", None]
    assert rows["tenant_id"].to_pylist()[::2] == ["ok", None]
    assert json.loads(rows["record"][1].as_py())["tenant_id"] == "\\xff\\xfe"


def test_a_text_trace_s_bad_lines_are_told_by_their_line(tmp_path, quick):
    bad = "d,ann,2024-05-01T09:50:01Z,-5,4\ne,bob,2024-05-01T09:50:01Z,1\n"
    trace, out = write(tmp_path, STAMPED + bad), tmp_path / "ledger"
    command = ["ledger", trace, "--out", out, *SHAPE, "--rejects"]
    result = call(*command, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["rows_read"] == 5 and answer["rows"]["rejects"] == 2
    (part,) = (out / "rejects").iterdir()
    rejects = pq.read_table(part).to_pylist()
    assert [reject["file_row"] for reject in rejects] == [5, 6]
    assert rejects[0]["problem"] == "-5 is negative."
    assert json.loads(rejects[1]["record"])["line"].startswith("e,bob")
    assert "Note: 2 of 5 rows cannot be used" in call(*command).stdout


def test_rejects_are_refused_where_each_row_is_in_two_logs(tmp_path):
    trace = write(tmp_path, GOOD)
    asked = ("--iterations", trace, "--rejects", "--out", tmp_path / "ledger")
    result = call("ledger", trace, *asked)
    assert result.exit_code == 2 and "--rejects" in result.stderr


@pytest.mark.parametrize("name", ["early", "large", "again"])
def test_what_only_neighbours_or_the_system_tell_is_an_error_by_default(name, tmp_path):
    change, column, problem = FAULTS[name]
    rows = fleet.requests(0).to_pylist()
    early = {"arrival": dt.datetime(2001, 9, 9, tzinfo=dt.UTC)}
    rows[9] |= early if "arrival" in change else change
    table = pa.Table.from_pylist(rows, fleet.requests(0).schema)
    pq.write_table(table, tmp_path / "a.parquet")
    backends = cj.find_backends([tmp_path / "a.parquet"])
    with pytest.raises(cj.InputError, match=problem.split(" of")[0]) as caught:
        cj.make_ledger(backends, fleet.system(), tmp_path / "ledger", slice_rows=64)
    error = caught.value
    assert (error.file, error.row, error.column) == (
        str(tmp_path / "a.parquet"),
        10,
        column,
    )
    assert "--rejects" in (error.hint or "") or name == "early"
