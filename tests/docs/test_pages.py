"""The pages name what there is: every page, method, rule and policy, and no dead link."""

import re
import tomllib

import pytest

import carbjax as cj
from carbjax._attribution.idle import IDLE_RULES
from carbjax._profiles.own import SIZES
from carbjax._profiles.profile import COLUMNS
from carbjax._serving.policies import POLICIES
from tests.docs.pages import DOCS, PAGES, REFERENCE, ROOT, TUTORIALS

BESIDE = {  # what lies beside docs/, and its name in the site
    "../benchmarks/README.md": "benchmarks.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changes.md",
}
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def _section(page, section):
    text = (DOCS / page).read_text("utf-8").split(f"\n## {section}\n")[1]
    return text.split("\n## ")[0]


def _first_cells(page, section):
    """The names in the first column of the section's table."""
    return set(re.findall(r"^\| `([^`]+)`", _section(page, section), re.MULTILINE))


def test_methods_are_those_registered():
    assert _first_cells("games.md", "Methods") == set(cj.methods())


def test_idle_rules_are_those_there():
    assert _first_cells("games.md", "Idle rules") == set(IDLE_RULES)


def test_policies_are_those_there():
    assert _first_cells("semantics.md", "The scheduler") == set(POLICIES)


def test_columns_of_a_profile_are_those_read():
    lines = _section("profiler.md", "Columns of a profile").splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| `")]
    found = [[re.findall(r"`(\w+)`", cell) for cell in cells] for cells in rows]
    needs = {cells[0][0]: cells[2] for cells in found if len(cells) == 3}
    assert needs == {name: list(sizes) for name, sizes in SIZES.items()}
    columns = [name for cells in found if len(cells) == 4 for name in cells[0]]
    assert sorted(columns) == sorted(COLUMNS)


def test_dependencies_are_those_asked_for():
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = (DOCS / "dependencies.md").read_text("utf-8")
    extras = asked["optional-dependencies"].values()
    for requirement in [*asked["dependencies"], *(r for extra in extras for r in extra)]:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None and name[0] in said


def test_the_index_lists_every_page():
    listed = set(_LINK.findall((DOCS / "index.md").read_text("utf-8")))
    here = {path.relative_to(DOCS).as_posix() for path in (*PAGES, *TUTORIALS)}
    assert listed == (here - {"index.md"}) | set(BESIDE) | {"reference/index.md"}


def test_the_site_has_the_pages_in_the_order_of_the_index():
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").split("\nnav:\n")[1]
    in_site = re.findall(r"([\w/]+\.md)$", nav, re.MULTILINE)
    inner = [f"reference/{page.name}" for page in REFERENCE if page.stem != "index"]
    assert sorted(set(in_site) & set(inner)) == inner
    listed = _LINK.findall((DOCS / "index.md").read_text("utf-8"))
    named = [BESIDE.get(target, target).replace(".py", ".md") for target in listed]
    assert [page for page in in_site if page not in inner] == ["index.md", *named]


@pytest.mark.parametrize(
    "page", (*PAGES, *REFERENCE, *TUTORIALS), ids=lambda page: page.name
)
def test_links_lead_somewhere(page):
    for target in _LINK.findall(page.read_text("utf-8")):
        assert (page.parent / target).exists()
