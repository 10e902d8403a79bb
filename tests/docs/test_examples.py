"""The examples of README and docs run as they stand, on a small workload."""

import pytest

import carbjax as cj
from tests.docs.pages import examples

TRACE = """request_id,tenant_id,arrival,prompt_tokens,decode_tokens
a,search,2023-11-16T18:00:00.0Z,300,20
b,tutor,2023-11-16T18:00:00.1Z,40,60
c,search,2023-11-16T18:00:00.2Z,900,5
"""
GRID = "time_utc,intensity\n" + "".join(
    f"2023-11-16T{hour}:00:00Z,{400 - hour}\n" for hour in range(16, 22)
)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with the files that the examples read."""
    (tmp_path / "trace.csv").write_text(TRACE)
    (tmp_path / "grid.csv").write_text(GRID)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("example", examples(), ids=lambda e: e.name)
def test_runs_prints_and_closes(example, files, capsys):
    names = {}
    exec(compile(example.code, example.name, "exec"), names)
    assert capsys.readouterr().out.strip()
    for value in names.values():
        if isinstance(value, cj.Attribution):
            assert abs(value.residual) <= 1e-9 * value.total


@pytest.mark.parametrize("example", examples(), ids=lambda e: e.name)
def test_is_short(example):
    assert len(example.code.splitlines()) < 20


def test_readme_and_the_page_on_games_have_one():
    assert {"README.md", "games.md"} <= {example.page.name for example in examples()}
