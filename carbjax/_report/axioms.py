"""The section about axioms: who breaks which, by how much, and an example of each."""

import dataclasses
import math
from collections.abc import Sequence

from carbjax._report.cells import NOTHING, REFUSED, Cell, Column, Table, refused_by
from carbjax._report.findings import Axiom, axiom_names, axioms_of
from carbjax._report.record import Evaluation, Example
from carbjax._report.wording import plain

_MEANING = {
    "null_player": "who uses nothing pays nothing",
    "symmetry": "equal requests pay alike",
    "efficiency": "shares add up to what was emitted",
    "closure": "shares and what stays unattributed add up to everything",
    "linearity": "the whole is the sum of its parts",
    "linearity_phases": "prefill and decode apart add up to both together",
    "linearity_iterations": "iterations apart add up to the trace",
    "linearity_traces": "two traces apart add up to one",
    "linearity_fleet": "two servers apart add up to the fleet",
}


@dataclasses.dataclass(frozen=True)
class MethodExamples:
    """The smallest examples found of what a method breaks."""

    method: str
    examples: Sequence[Example]


def axioms_table(evaluation: Evaluation) -> Table:
    """The largest violation of each axiom by each method, gCO2e."""
    columns = [
        Column(name, name.replace("_", " "), _MEANING.get(name, ""))
        for name in axiom_names(evaluation)
    ]
    rows = [(m, [_cell(a) for a in found]) for m, found in axioms_of(evaluation).items()]
    refused = refused_by(evaluation, "axioms")
    rows += [
        (m, [Cell(REFUSED, tone="bad")] * len(columns))
        for m in evaluation.methods
        if m in refused
    ]
    return Table("Largest violation of each axiom, gCO2e", columns, rows)


def examples_by_method(evaluation: Evaluation) -> list[MethodExamples] | None:
    """Examples of each method that has some; None where there is no file of them."""
    if evaluation.examples is None:
        return None
    found: dict[str, list[Example]] = {}
    for example in evaluation.examples:
        found.setdefault(example.method, []).append(example)
    return [MethodExamples(method, examples) for method, examples in found.items()]


def _cell(axiom: Axiom) -> Cell:
    if axiom.is_broken is None:
        number = axiom.violation or axiom.relative
        status = None if number is None else number.status
        return Cell("not judged" if number else NOTHING, _why(status), tone="muted")
    order = None if math.isnan(axiom.grams) else axiom.grams
    if not axiom.is_broken:
        return Cell("kept", order=0.0, tone="good")
    grams = "broken" if order is None else f"{plain(axiom.grams)} g"
    relative = axiom.relative
    more = f"{plain(relative.value)} mean shares" if relative is not None else ""
    return Cell(grams, more, order, "bad")


def _why(status: str | None) -> str:
    return {"refused": REFUSED, "not_applicable": "does not apply"}.get(status or "", "")
