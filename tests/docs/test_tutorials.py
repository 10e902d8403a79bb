"""Each tutorial runs as it stands, and prints what its page says that it prints."""

import re
import runpy

import pytest

from carbjax._attribution.methods import _ENTRIES
from tests.docs.pages import TUTORIALS

_PRINTS = re.compile(r"^# %% \[prints\]\n((?:#.*\n)+)", re.MULTILINE)


def _said(script: str) -> list[str]:
    """The words of all that the page says is printed; a page may break lines."""
    return re.sub(r"^#", "", "".join(_PRINTS.findall(script)), flags=re.MULTILINE).split()


@pytest.fixture
def registry():
    """The registry, as it was again afterwards."""
    before = dict(_ENTRIES)
    yield
    _ENTRIES.clear()
    _ENTRIES.update(before)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_prints_what_its_page_says(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path))
    assert capsys.readouterr().out.split() == _said(path.read_text("utf-8"))


def test_there_is_one_for_a_trace_a_profile_and_a_method():
    assert [path.stem for path in TUTORIALS] == ["own_method", "own_profile", "own_trace"]
