"""One command measures the hot paths, and writes one table of them."""

import json

import numpy as np
import pytest

from benchmarks import __main__ as benchmarks, _limits
from benchmarks._rows import Row

MADE = Row(
    "serving", "`serve` of 40", 4883.0, "requests/s", "a loop", 16.2, "dispatch", 0.5
)


def test_paths_have_rows_and_a_file_of_the_device(tmp_path, capsys):
    names = "start_up", "surrogate", "coalitions", "estimators"
    benchmarks.main(["--quick", "--out", str(tmp_path), "--only", *names])
    (file,) = tmp_path.glob("*-quick.json")
    found = json.loads(file.read_text())
    assert found["versions"]["jax"] and found["cores"] >= 1
    paths = {row["path"].replace("-", "_") for row in found["rows"]}
    assert paths == set(names)
    printed = capsys.readouterr().out
    for row in found["rows"]:
        assert f"| {row['measured']} |" in printed and row["value"] > 0
        assert row["of_limit"] is None or row["of_limit"] > 0


def test_the_table_is_put_between_the_marks_of_a_page(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
    benchmarks.put_into(page, benchmarks.to_markdown([MADE]))
    text = page.read_text()
    assert "| 4,883 requests/s | a loop | 16.2 | dispatch | 50% |" in text
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text


def test_the_readme_has_the_marks():
    text = (benchmarks._README).read_text("utf-8")
    assert text.index(benchmarks._BEGIN) < text.index(benchmarks._END)


def test_an_array_that_is_only_moved_is_bound_by_traffic():
    seconds, bound = _limits.roofline_s(lambda x: x + 1, np.zeros(1000), bits=64)
    assert bound == "memory traffic"
    assert seconds == pytest.approx(16_000 / _limits.bytes_per_s(64))
