"""Which backends are found in files and folders, and what is refused there."""

import contextlib
import os
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import carbjax as cj
from carbjax._ledger.backends import place_of
from carbjax._ledger.columns import REQUESTS
from carbjax._ledger.folder import working_in
from tests.ledger import fleet
from tests.ledger.rows import feed_of, write

HOSTILE = "../../\n<script>'\";$(touch x)"


def names(*sources, **asked) -> list[str]:
    return [backend.name for backend in cj.find_backends(sources, **asked)]


def read(*sources) -> pa.Table:
    """All requests of the one backend there is, a few at a time."""
    feed = feed_of(*sources)
    parts = []
    while not feed.ended:
        parts.append(feed.take(5).requests)
    return pa.concat_tables(parts)


def test_backends_are_those_of_the_paths(tmp_path):
    source = fleet.write_fleet(tmp_path / "fleet")
    assert names(source) == list(fleet.NAMES)
    assert names(source / "backend=b") == ["b"]
    assert names(*sorted(source.rglob("*.parquet"))) == list(fleet.NAMES)
    assert names(write(tmp_path / "x" / "lone.parquet", 0.0)) == ["lone"]
    assert names(tmp_path / "x") == ["x"]


def test_hours_are_in_order_as_numbers(tmp_path):
    for hour in (10, 9, 11):
        write(tmp_path / f"backend=a/hour={hour}/0.parquet", 3600.0 * hour)
    assert (np.diff(read(tmp_path)["arrival_s"].to_numpy()) > 0).all()


@pytest.mark.parametrize("skip", [0, 1, 15, 16, 24, 25, 26, 39])
def test_reading_goes_on_anywhere_in_a_backend(skip, tmp_path):
    backend = cj.find_backends([fleet.write_fleet(tmp_path / "fleet")])[0]
    whole = pa.concat_tables(backend.batches(0, 7))
    rest = pa.concat_tables(backend.batches(skip, 7))
    assert whole.schema == REQUESTS
    assert rest == whole.slice(skip)
    file, row = place_of(backend, skip)
    assert file == backend.inputs[skip >= 25]
    ids = pq.read_table(file, partitioning=None)["request_id"]
    assert ids[row - 1].as_py() == whole["request_id"][skip].as_py()


def test_requests_of_a_text_trace_go_to_backends_in_turn(tmp_path):
    trace = tmp_path / "trace.csv"
    lines = [f"{i},{i / 10},{10 + i},5" for i in range(5)]
    header = "request_id,arrival,prompt_tokens,decode_tokens"
    trace.write_text("\n".join([header, *lines]) + "\n")
    found = cj.find_backends([trace], spread=2)
    assert [b.name for b in found] == ["trace.csv/0", "trace.csv/1"]
    ids = [next(b.batches(0, 9))["request_id"].to_pylist() for b in found]
    assert ids == [["0", "2", "4"], ["1", "3"]]
    assert len(names(trace, spread=99)) == 5


def test_files_that_data_set_tools_leave_are_passed_over(tmp_path):
    write(tmp_path / "fleet" / "a.parquet", 0.0)
    for name in ("_SUCCESS", ".a.parquet.crc", "_metadata", "_tmp/x.parquet"):
        path = tmp_path / "fleet" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no Parquet")
    assert names(tmp_path / "fleet") == ["fleet"]


def _stray(folder):
    write(folder / "a.parquet", 0.0)
    (folder / "b.csv").write_text("arrival\n")


def _linked(folder):
    write(folder / "data" / "a.parquet", 0.0)
    os.symlink(folder / "data", folder / "link")


def _two_clocks(folder):
    write(folder / "backend=a" / "0.parquet", 0.0)
    write(folder / "backend=b" / "0.parquet", 0.0, arrival=_stamps(1_700_000_000))


def _stamps(*unix_s: int, zone: str | None = "UTC") -> pa.Array:
    return pa.array(unix_s, pa.timestamp("s", zone))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda folder: None, "no Parquet files.*one by one"),
        (_stray, "b.csv: stands among Parquet files"),
        (_linked, "link: is a link to a folder"),
        (_two_clocks, "some backends have time stamps"),
        (lambda folder: write(folder / "a.parquet"), "no requests in the sources"),
    ],
)
def test_folders_that_would_lose_or_mix_requests_are_refused(make, message, tmp_path):
    make(tmp_path)
    with pytest.raises(cj.InputError, match=message):
        cj.find_backends([tmp_path])


def test_requests_never_count_twice(tmp_path):
    file = write(tmp_path / "fleet" / "a.parquet", 0.0)
    for sources in ([file, file], [tmp_path / "fleet", file]):
        with pytest.raises(cj.ConfigError, match="twice"):
            cj.find_backends(sources)
    other = write(tmp_path / "other" / "a.parquet", 0.0)
    with pytest.raises(cj.ConfigError, match="two sources make a backend 'a'"):
        cj.find_backends([file, other])


@pytest.mark.parametrize("asked", [{"tz": "UTC"}, {"tenants": "x.csv"}, {"spread": 2}])
def test_what_is_for_text_traces_is_refused_for_parquet(asked, tmp_path):
    write(tmp_path / "a.parquet", 0.0)
    with pytest.raises(cj.ConfigError, match="is for text traces"):
        cj.find_backends([tmp_path], **asked)


BAD = {
    "unsorted": ({}, [0.0, 2.0, 1.0], "arrived before the one above", 3, "arrival"),
    "nan": ({}, [0.0, float("nan")], "not finite", 2, "arrival"),
    "infinite": ({}, [0.0, float("inf")], "not finite", 2, "arrival"),
    "negative time": ({}, [-1.0, 0.0], "before the start", 1, "arrival"),
    "milliseconds": ({}, [0.0, 1.7e12], "in milliseconds", 2, "arrival"),
    "null time": ({"arrival": pa.array([0.0, None])}, [0, 0], "missing", 2, "arrival"),
    "far stamp": (
        {"arrival": _stamps(1_700_000_000, 1_700_000_000_000)},
        [0, 0],
        "after 2100",
        2,
        "arrival",
    ),
    "naive": ({"arrival": _stamps(1, zone=None)}, [0], "no time zone", None, "arrival"),
    "text time": ({"arrival": ["now"]}, [0], "arrivals are string", None, "arrival"),
    "whole time": ({"arrival": [1]}, [0], "arrivals are int64", None, "arrival"),
    "negative": ({"prompt_tokens": [1, -1]}, [0, 1], "negative", 2, "prompt_tokens"),
    "huge": ({"decode_tokens": [1, 2**31]}, [0, 1], "more than", 2, "decode_tokens"),
    "huger": (
        {"decode_tokens": pa.array([1, 2**64 - 1], pa.uint64())},
        [0, 1],
        "more than",
        2,
        "decode_tokens",
    ),
    "null": ({"prompt_tokens": [None, 1]}, [0, 1], "missing", 1, "prompt_tokens"),
    "fraction": ({"prompt_tokens": [1.5]}, [0], "whole numbers", None, "prompt_tokens"),
    "misspelt": ({"tenent_id": ["a"]}, [0], "Is it 'tenant_id'", None, "tenent_id"),
    "list": ({"tenant_id": [["a"]]}, [0], "labels are list", None, "tenant_id"),
    "backend": ({"backend": ["a"]}, [0], "Partition by it", None, "backend"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_named_by_file_row_and_column(name, tmp_path):
    columns, arrival_s, message, row, column = BAD[name]
    columns = {k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in columns.items()}
    file = write(tmp_path / "a.parquet", *arrival_s, **columns)
    with pytest.raises(cj.TraceError, match=message) as caught:
        read(tmp_path)
    error = caught.value
    assert (error.file, error.row, error.column) == (str(file), row, column)
    assert error.hint


def test_a_row_is_counted_from_the_first_of_its_file(tmp_path):
    write(tmp_path / "0.parquet", *range(50))
    bad = pa.array([1] * 30 + [-1] + [1] * 9)
    file = write(tmp_path / "1.parquet", *range(50, 90), prompt_tokens=bad)
    with pytest.raises(cj.TraceError, match="negative") as caught:
        read(tmp_path)
    assert (caught.value.file, caught.value.row) == (str(file), 31)
    write(tmp_path / "1.parquet", *range(40, 50))
    with pytest.raises(cj.TraceError, match="arrived before the one above") as caught:
        read(tmp_path)
    assert caught.value.row == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-20],
        lambda content: content[:4] + bytes(400) + content[404:],
        lambda content: b"version https://git-lfs.github.com/spec/v1\n",
        lambda content: b"",
    ],
)
def test_a_file_that_is_no_parquet_is_named(damage, tmp_path):
    file = write(tmp_path / "a.parquet", *np.random.default_rng(0).random(500).cumsum())
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(cj.TraceError, match="cannot be read") as caught:
        read(tmp_path)
    assert caught.value.file == str(file)


def _mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with a few bytes changed, removed or put in."""
    found = bytearray(content)
    for kind in rng.integers(0, 3, rng.integers(1, 6)):
        place, count = int(rng.integers(len(found))), int(rng.integers(1, 30))
        if kind == 0:
            found[place] ^= int(rng.integers(1, 256))
        elif kind == 1:
            del found[place : place + count]
        else:
            found[place:place] = rng.bytes(count)
    return bytes(found)


def test_a_mutated_file_loses_no_row_without_an_error(tmp_path):
    rng = np.random.default_rng(0)
    file = write(tmp_path / "a.parquet", *rng.random(200).cumsum())
    content, refused = file.read_bytes(), 0
    for _ in range(200):
        file.write_bytes(_mutated(content, rng))
        try:
            assert read(tmp_path).num_rows == 200
        except cj.TraceError:
            refused += 1
        with contextlib.suppress(cj.TraceError):
            feed = feed_of(tmp_path, rejects=True)
            assert feed.take(200).num_rows == 200 and feed.ended
    assert 100 < refused < 200


def test_names_are_data(tmp_path):
    folder = tmp_path / "backend=..%2F..%2Fx%3Cb%3E"
    write(folder / "0.parquet", 0.0, tenant_id=pa.array([HOSTILE]))
    (backend,) = cj.find_backends([tmp_path])
    assert backend.name == "../../x<b>"
    assert next(backend.batches(0, 1))["tenant_id"].to_pylist() == [HOSTILE]


def test_a_name_that_is_no_text_is_refused(tmp_path):
    file = write(tmp_path / "a.parquet", 0.0)
    odd = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xff.parquet"))
    os.rename(file, odd)
    with pytest.raises(cj.TraceError, match="cannot be read"):
        cj.find_backends([odd])
    with pytest.raises(cj.OutputError, match="no UTF-8"):
        with working_in(pathlib.Path(odd)):
            pass


def test_labels_may_be_numbers_or_dictionaries_and_not_broken_text(tmp_path):
    odd = {"request_id": pa.array([7]), "tenant_id": pa.array(["x"]).dictionary_encode()}
    write(tmp_path / "a.parquet", 0.0, **odd)
    found = read(tmp_path).to_pylist()[0]
    assert (found["request_id"], found["tenant_id"]) == ("7", "x")
    broken = pa.array([b"\xff\xfe"]).view(pa.string())
    write(tmp_path / "a.parquet", 0.0, tenant_id=broken)
    with pytest.raises(cj.TraceError, match="no text") as caught:
        read(tmp_path)
    assert caught.value.column == "tenant_id"
