"""The reference shows every public name, and docstrings say what a reader must know."""

import inspect
import re

import pytest

import carbjax as cj
from tests.docs.pages import REFERENCE

SHOWN = [
    name
    for page in REFERENCE
    for name in re.findall(r"^::: carbjax\.(\w+)$", page.read_text("utf-8"), re.MULTILINE)
]
PUBLIC = [name for name in cj.__all__ if not name.startswith("__")]
CODE = [name for name in PUBLIC if callable(getattr(cj, name))]
_AXES = re.compile(r'`" ?\w[\w ]*"`|2\^n')


def test_every_public_name_is_shown_once():
    assert sorted(SHOWN) == sorted(PUBLIC)


def test_the_list_of_names_has_them_all():
    index = next(page for page in REFERENCE if page.stem == "index").read_text("utf-8")
    assert sorted(re.findall(r"`(\w+)`(?=[,| ])", index.split("|---|---|")[1])) == sorted(
        PUBLIC
    )


@pytest.mark.parametrize("name", CODE)
def test_says_first_what_comes_back(name):
    said = inspect.getdoc(getattr(cj, name))
    assert said is not None and len(said.splitlines()[0]) > 10
    assert said.splitlines()[0].rstrip().endswith((".", ":"))


def _takes_arrays(name):
    if inspect.isclass(getattr(cj, name)) and issubclass(getattr(cj, name), Exception):
        return False
    taken = inspect.signature(getattr(cj, name)).parameters.values()
    return any("SupportsArray" in str(parameter.annotation) for parameter in taken)


@pytest.mark.parametrize("name", [name for name in CODE if _takes_arrays(name)])
def test_who_takes_arrays_says_their_axes_and_what_it_raises(name):
    said = inspect.getdoc(getattr(cj, name)) or ""
    assert _AXES.search(said) and re.search("[Rr]aises", said)
