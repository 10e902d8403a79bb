"""Request ids that a backend's files tell twice."""

import numpy as np
import pyarrow as pa
import pytest

import carbjax as cj
from carbjax._ledger.repeats import find_repeats
from tests.ledger.rows import feed_of, write


def _ids(rng, kind: str) -> pa.Array:
    numbers = rng.integers(0, 60, 100)
    if kind == "numbers":
        return pa.array(numbers)
    names = [None if n % 7 == 0 else f"{'x' * (n % 5)}{n}" for n in numbers]
    made = pa.array(names)
    return made.dictionary_encode() if kind == "dictionary" else made


@pytest.mark.parametrize("kind", ["text", "dictionary", "numbers"])
@pytest.mark.parametrize("at_once", [7, 1000])
def test_repeats_are_those_that_a_plain_look_finds(kind, at_once, tmp_path):
    rng, known = np.random.default_rng(0), []
    for number in range(3):
        ids = _ids(rng, kind)
        time = number * 100.0 + np.arange(100)
        write(tmp_path / f"{number}.parquet", *time, request_id=ids)
        known += ids.to_pylist()
    (backend,) = cj.find_backends([tmp_path])
    found = find_repeats(backend, at_once=at_once)
    first = {}
    expected = [
        (row, first[name])
        for row, name in enumerate(known)
        if name is not None and first.setdefault(name, row) != row
    ]
    assert list(zip(found.row.tolist(), found.first.tolist(), strict=True)) == expected
    among = [(row, before) for row, before in expected if 120 <= row < 180]
    assert list(found.among(120, 180)) == among


def test_a_repeat_is_an_error_that_names_both_rows(tmp_path):
    first = write(
        tmp_path / "0.parquet", *range(50), request_id=pa.array(map(str, range(50)))
    )
    ids = pa.array([str(100 + i) if i != 8 else "33" for i in range(20)])
    second = write(tmp_path / "1.parquet", *range(50, 70), request_id=ids)
    feed = feed_of(tmp_path)
    with pytest.raises(cj.TraceError) as caught:
        while not feed.ended:
            feed.take(16)
    error = caught.value
    assert (error.file, error.row, error.column) == (str(second), 9, "request_id")
    assert f"'33' is also the request of row 34 of {first}" in error.problem


def test_ids_of_other_backends_and_files_without_ids_are_not_compared(tmp_path):
    ids = pa.array(["a", "b"])
    write(tmp_path / "backend=x/0.parquet", 0.0, 1.0, request_id=ids)
    write(tmp_path / "backend=x/1.parquet", 2.0, 3.0)
    write(tmp_path / "backend=y/0.parquet", 0.0, 1.0, request_id=ids)
    for backend in cj.find_backends([tmp_path]):
        assert len(find_repeats(backend).row) == 0


def test_order_is_kept_over_a_stop_between_row_groups(tmp_path):
    """What came before is not read again, and counts."""
    write(tmp_path / "0.parquet", *range(10, 30))
    write(tmp_path / "1.parquet", *range(28, 40))
    feed = feed_of(tmp_path)
    feed.take(20)
    with pytest.raises(cj.TraceError, match="before the one above") as caught:
        feed.take(5)
    assert caught.value.row == 1
    feed = feed_of(tmp_path, rejects=True)
    whole = [feed.take(8) for _ in range(4)]
    assert sum(each.rejects.num_rows for each in whole) == 1
