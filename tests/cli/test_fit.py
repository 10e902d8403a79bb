"""`carbjax fit`: from a profile to a file that serves, with its errors told."""

import functools
import json

import jax.numpy as jnp
import numpy as np
import pytest

import carbjax as cj
from carbjax._fitting import gemm_fit
from carbjax._profiles.profile import Profile, concatenate
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


def test_a_fit_that_does_not_converge_says_so_and_writes_nothing(
    profile, tmp_path, monkeypatch
):
    hurried = functools.partial(gemm_fit.least_squares, max_iterations=1)
    monkeypatch.setattr(gemm_fit, "least_squares", hurried)
    out = tmp_path / "mine.json"
    result = call("fit", profile, "--base", profiles.BASE, "--out", out)
    assert result.exit_code == 2 and "did not converge in 1 iterations" in result.stderr
    assert not out.exists() and result.stdout == ""


def test_all_reduce_is_fitted_too(tmp_path):
    path, out = tmp_path / "links.parquet", tmp_path / "mine.json"
    sizes = 2.0 ** np.arange(8, 28)
    seconds = 9e-6 + sizes / 3e11
    links = Profile.of(
        "all_reduce",
        seconds,
        message_bytes=sizes,
        num_gpus=np.full(len(sizes), 2.0),
        source="made up",
    )
    concatenate(profiles.whole(), links).to_parquet(path)
    result = call("fit", path, "--base", profiles.BASE, "--out", out)
    assert result.exit_code == 0, result.output
    ours = cj.System.load(profiles.BASE, tensor_parallel=2, surrogate=out)
    batch = cj.BatchFeatures(*(jnp.array(x) for x in (512.0, 1.0, 1e5, 512.0, 0, 0, 0)))
    latency = float(ours.operator_costs(batch)["all_reduce"][0])
    calls, message = 2 * ours.model.num_layers, 512 * 4096 * 2
    assert latency == pytest.approx(calls * (9e-6 + message / 3e11), rel=0.05)
