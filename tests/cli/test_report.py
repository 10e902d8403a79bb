import json

from click.testing import CliRunner

from carbjax._cli.main import carbjax

from ..report import made_up


def call(*arguments):
    return CliRunner().invoke(carbjax, ["report", *map(str, arguments)])


def test_the_page_is_written_and_named(tmp_path):
    folder = made_up.write(tmp_path / "results")
    result = call(folder)
    assert result.exit_code == 0, result.output
    assert str(folder / "report.html") in result.stdout
    assert (folder / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_json_says_where(tmp_path):
    page = tmp_path / "page.html"
    answer = json.loads(call(made_up.write(tmp_path / "r"), "--out", page, "--json").stdout)
    assert answer == {"page": str(page), "bytes": page.stat().st_size}


def test_bad_input_is_exit_code_2(tmp_path):
    result = call(tmp_path)
    assert result.exit_code == 2 and result.stdout == ""
    assert "evaluation.json" in result.stderr and "carbjax evaluate" in result.stderr
    folder = made_up.write(tmp_path / "r")
    (folder / "results.parquet").write_bytes(b"PAR1")
    result = call(folder)
    assert result.exit_code == 2 and "results.parquet" in result.stderr
    assert not (folder / "report.html").exists()
