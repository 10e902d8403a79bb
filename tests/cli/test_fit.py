"""`carbjax fit`: from a profile to a file that serves, with its errors told."""

import json

import pytest

import carbjax as cj
from tests import made_up_profiles as profiles

from .calling import call, write


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    path = tmp_path_factory.mktemp("profile") / "profile.parquet"
    profiles.whole().to_parquet(path)
    return path


def test_a_profile_becomes_a_file_that_serves(profile, tmp_path):
    out, figures = tmp_path / "mine.json", [tmp_path / "fit.png", tmp_path / "fit.svg"]
    drawn = [word for figure in figures for word in ("--figure", figure)]
    result = call("fit", profile, "--base", profiles.BASE, "--out", out, *drawn)
    assert result.exit_code == 0, result.output
    assert "unseen shapes" in result.stdout and f"Wrote {out}" in result.stdout
    assert "Note: not in the profile" in result.stdout
    assert all(figure.stat().st_size > 0 for figure in figures)
    assert cj.System.load(profiles.BASE, surrogate=out).surrogate.name == profiles.BASE


def test_json_holds_the_same_errors_as_the_file(profile, tmp_path):
    out = tmp_path / "mine.json"
    result = call("fit", profile, "--base", profiles.BASE, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    answer, record = json.loads(result.stdout), json.loads(out.read_text())
    assert answer["errors"] == record["errors"] and answer["rows"]["gemm"] == 70
    assert answer["quarantined"] == {}


def test_bad_input_is_exit_code_2_before_any_work(profile, tmp_path):
    out = ("--out", tmp_path / "mine.json")
    odd = write(tmp_path, "a,b\n1,2\n", "odd.csv")
    for words, told in (
        ((odd, "--base", profiles.BASE, *out), "odd.csv"),
        ((profile, *out), "which GPU"),
        ((profile, "--accelerator", "h200-sxm", *out), "host, gaps"),
        ((profile, "--base", "h201", *out), "'h200-sxm'"),
        ((profile, "--base", profiles.BASE, "--out", "mine.txt"), "End it in .json"),
        ((profile, "--base", profiles.BASE, *out, "--figure", "x.gif"), ".svg"),
    ):
        result = call("fit", *words)
        assert result.exit_code == 2 and told in result.stderr, (words, result.output)
        assert result.stdout == "" and not (tmp_path / "mine.json").exists()
