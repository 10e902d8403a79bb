import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carbjax import InputError, OutputError
from carbjax._report import write_report
from carbjax._report.reading import read_evaluation

from . import made_up


@pytest.fixture
def folder(tmp_path):
    return made_up.write(tmp_path / "results")


def refusal(folder) -> str:
    with pytest.raises(InputError) as caught:
        read_evaluation(folder)
    return str(caught.value)


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_every_row_is_read_and_null_is_unknown(folder):
    found = read_evaluation(folder)
    assert len(found.numbers) == len(made_up.rows())
    assert set(found.methods) == set(made_up.METHODS)
    refused = [n for n in found.numbers if n.status == "refused"]
    assert refused and all(math.isnan(n.value) and not n.is_known for n in refused)
    assert found.scaling and found.scaling[0].peak_bytes is None


def test_files_that_may_be_absent(folder):
    for name in ("curves.parquet", "scaling.parquet", "examples.json"):
        (folder / name).unlink()
    found = read_evaluation(folder)
    assert found.curves is None and found.scaling is None and found.examples is None


def test_a_folder_that_is_none(folder, tmp_path):
    assert "no such folder" in refusal(tmp_path / "nowhere")
    assert "this is a file" in refusal(folder / "examples.json")
    (tmp_path / "empty").mkdir()
    assert "'evaluation.json' is not in the folder" in refusal(tmp_path / "empty")


def test_an_evaluation_under_way_says_so(folder):
    (folder / "evaluation.json").unlink()
    (folder / "parts").mkdir()
    assert "was not finished" in refusal(folder)


@pytest.mark.parametrize(
    "name",
    ["results.parquet", "curves.parquet", "scaling.parquet"]
    + ["examples.json", "evaluation.json"],
)
def test_a_file_cut_short_is_named(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-40])
    message = refusal(folder)
    assert name in message and "not " in message and "carbjax evaluate" in message


@pytest.mark.parametrize("number", [2, "1", None])
def test_another_format_is_named(folder, number):
    change(folder / "evaluation.json", lambda about: about.update(format=number))
    message = refusal(folder)
    assert repr(number) in message and "this carbjax reads 1" in message


@pytest.mark.parametrize(
    "name, column",
    [("results.parquet", "lower"), ("curves.parquet", "part"), ("scaling.parquet", "size")],
)
def test_a_missing_column_is_named(folder, name, column):
    path = folder / name
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    message = refusal(folder)
    assert name in message and f"column {column!r}" in message and "missing" in message


def test_a_column_of_the_wrong_kind_or_with_a_hole_is_named(folder):
    path = folder / "scaling.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("size")
    words = pa.array(["many"] * len(table))
    pq.write_table(table.set_column(at, "size", words), path)
    assert "column 'size': this column holds string, not int64" in refusal(folder)
    holes = pa.array([None] * len(table), pa.int64())
    pq.write_table(table.set_column(at, "size", holes), path)
    assert "column 'size': entry 0 is null" in refusal(folder)


@pytest.mark.parametrize("column", ["criterion", "status"])
def test_a_word_that_is_not_known_is_named(folder, column):
    rows = made_up.rows()
    rows[3][column] = "beauty"
    message = refusal(made_up.write(folder, rows))
    assert f"column {column!r}: entry 3 is 'beauty'" in message and "Known are" in message


def test_no_rows_at_all(folder):
    assert "holds no numbers" in refusal(made_up.write(folder, []))


def test_keys_of_json_are_named(folder):
    change(folder / "evaluation.json", lambda about: about.pop("versions"))
    assert "column 'versions'" in refusal(folder)
    made_up.write(folder)
    change(folder / "examples.json", lambda found: found[0].update(violation_g="much"))
    assert "column '0.violation_g'" in refusal(folder)


def test_the_page_goes_beside_the_results_or_where_asked(folder, tmp_path):
    assert write_report(folder) == folder / "report.html"
    assert write_report(folder, tmp_path / "a.html").stat().st_size > 10_000
    with pytest.raises(OutputError, match="html"):
        write_report(folder, tmp_path / "a.pdf")
