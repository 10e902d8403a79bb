"""The pages name what there is: every page, method, rule and policy, and no dead link."""

import re
import tomllib

import pytest

import carbjax as cj
from carbjax._attribution.idle import IDLE_RULES
from carbjax._serving.policies import POLICIES
from tests.docs.pages import DOCS, PAGES, ROOT

_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def _first_cells(page, section):
    """The names in the first column of the section's table."""
    text = (DOCS / page).read_text("utf-8").split(f"\n## {section}\n")[1]
    text = text.split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))


def test_methods_are_those_registered():
    assert _first_cells("games.md", "Methods") == set(cj.methods())


def test_idle_rules_are_those_there():
    assert _first_cells("games.md", "Idle rules") == set(IDLE_RULES)


def test_policies_are_those_there():
    assert _first_cells("semantics.md", "The scheduler") == set(POLICIES)


def test_dependencies_are_those_asked_for():
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = (DOCS / "dependencies.md").read_text("utf-8")
    for requirement in asked["dependencies"]:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None and name[0] in said


def test_the_index_lists_every_page():
    listed = set(_LINK.findall((DOCS / "index.md").read_text("utf-8")))
    assert listed == {page.name for page in PAGES} - {"index.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in _LINK.findall(page.read_text("utf-8")):
        assert (page.parent / target).exists()
