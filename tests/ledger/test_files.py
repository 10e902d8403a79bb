import os

import pyarrow.csv
import pyarrow.parquet
import pytest

from carbjax._errors import OutputError
from carbjax._files import replacing, require_writable
from carbjax._ledger import ledger_table, write_ledger
from carbjax._plots import write_share_figure

from .attributions import attributed, requests


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_ledger_is_read_back_as_written(tmp_path, suffix):
    ledger = ledger_table(attributed(), requests())
    path = tmp_path / f"ledger.{suffix}"
    write_ledger(ledger, path)
    assert os.listdir(tmp_path) == [path.name]
    if suffix == "csv":
        names = {"column_types": ledger.schema, "strings_can_be_null": True}
        names["quoted_strings_can_be_null"] = False
        options = pyarrow.csv.ConvertOptions(**names)
        assert pyarrow.csv.read_csv(path, convert_options=options).equals(ledger)
    else:
        assert pyarrow.parquet.read_table(path).equals(ledger)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "ledger.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["ledger.csv"]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    with replacing(tmp_path / "link.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"


@pytest.mark.parametrize(
    "name, problem",
    [
        ("ledger.xls", "ends in '.xls'.*.parquet or .csv"),
        ("ledger", "ends in ''"),
        ("missing/ledger.csv", "no folder"),
        ("folder.csv", "is a folder"),
    ],
)
def test_an_unusable_place_is_refused(tmp_path, name, problem):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError, match=problem):
        require_writable(tmp_path / name, (".parquet", ".csv"))


def test_a_folder_that_refuses_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    with pytest.raises(OutputError, match=r"ledger.csv: .*Permission denied"):
        require_writable(tmp_path / "ledger.csv", (".csv",))


@pytest.mark.parametrize(
    "suffix, magic", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_a_figure_has_the_kind_its_name_says(tmp_path, suffix, magic):
    path = tmp_path / f"who.{suffix}"
    write_share_figure(attributed(), requests(), path)
    assert path.read_bytes().startswith(magic)
    assert os.listdir(tmp_path) == [path.name]
