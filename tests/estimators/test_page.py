"""docs/estimators.md names the estimators and controls that there are."""

import re

from carbjax._estimators.controls import CONTROLS
from carbjax._estimators.registry import ESTIMATORS
from tests.docs.pages import DOCS


def _first_cells(heading):
    text = (DOCS / "estimators.md").read_text("utf-8").split(f"| {heading} |")[1]
    return re.findall(r"^\| `([^`,]+)`[^,]*? \|", text.split("\n\n")[0], re.MULTILINE)


def test_names_are_those_registered():
    assert set(_first_cells("estimator | how")) == set(ESTIMATORS)
    assert set(_first_cells("control | what it is")) == set(CONTROLS) - {"auto"}
