import json
import sys

import pytest

from .calling import call

MODEL = ("profile", "--model", "llama-3.1-8b")


def test_a_dry_run_shows_the_plan_and_needs_no_gpu():
    result = call(*MODEL, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["num_points"] == len(answer["points"]) == 99
    assert sum(answer["points_by_block"].values()) == 99
    assert answer["estimated_minutes"] < 8
    assert 8.6e9 < answer["memory_bytes"] < 12e9
    assert "points: 99" in call(*MODEL, "--dry-run").stdout


def test_what_needs_too_much_memory_is_left_out_and_said():
    result = call(*MODEL, "--dry-run", "--memory-gb", 5, "--json")
    answer = json.loads(result.stdout)
    assert answer["memory_bytes"] <= 5e9
    assert "decode 256 of 8192" in answer["left_out"]
    assert answer["num_points"] + len(answer["left_out"]) == 99


def test_a_block_alone(tmp_path):
    answer = json.loads(call(*MODEL, "--dry-run", "--block", "decode", "--json").stdout)
    assert answer["points_by_block"] == {"decode": 14}


@pytest.mark.parametrize(
    "options, words",
    [
        (["--dry-run", "--tensor-parallel", 3], "cannot split llama-3.1-8b"),
        (["--dry-run", "--block", "nothing"], "no block 'nothing'"),
        (["--dry-run", "--accelerator", "h300"], "no accelerator 'h300'"),
        ([], "`--out` is missing"),
        (["--out", "profile.txt"], "End it in .parquet"),
    ],
)
def test_bad_input_is_exit_code_2(options, words):
    result = call(*MODEL, *options)
    assert result.exit_code == 2
    assert words in result.stderr and result.stdout == ""


def test_without_a_gpu_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    result = call(*MODEL, "--out", tmp_path / "profile.parquet")
    assert result.exit_code == 2
    assert "carbjax[nvml]" in result.stderr and "--time-only" in result.stderr
    assert not any(tmp_path.iterdir())
