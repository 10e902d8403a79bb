"""The table that leads the page: methods by the four criteria."""

import math

from carbjax._report.cells import (
    NOTHING,
    REFUSED,
    Cell,
    Column,
    Table,
    cell_of,
    refused_somewhere,
)
from carbjax._report.findings import (
    Axiom,
    Growth,
    axioms_of,
    eps_of,
    growth_of,
)
from carbjax._report.record import Evaluation
from carbjax._report.wording import interval_of, plain

_CAPTION = (
    "All methods by the four criteria, over all workloads. Below each number its "
    "interval, where one is known."
)
_EXPONENTIAL = 1e6  # sorts after any exponent


def summary_table(evaluation: Evaluation) -> Table:
    """A row a method, the nearest to the Shapley value first."""
    eps = eps_of(evaluation)
    columns = [
        Column("relative", "Shapley distance", "part of the bill"),
        Column("axioms", "Axioms broken", "of those tried"),
        Column("exponent", "Steepest growth", "exponent of cost"),
        *(Column(f"N_{each}", f"N at {each}", "evaluations of v") for each in eps),
        Column("R_prompt", "Shorter prompt", "part of bill saved"),
        Column("R_decode", "Shorter answer", "part of bill saved"),
    ]
    heads = [("Fairness", 2), ("Scalability", 1)]
    heads += [("Sample efficiency", len(eps))] if eps else []
    rows = [(name, _cells(evaluation, name, eps)) for name in evaluation.judged]
    rows.sort(key=lambda row: math.inf if row[1][0].order is None else row[1][0].order)
    return Table(_CAPTION, columns, rows, [*heads, ("Incentives", 2)], "relative")


def _cells(evaluation: Evaluation, method: str, eps: list[str]) -> list[Cell]:
    def cell(criterion: str, quantity: str, group: str | None = None) -> Cell:
        found = evaluation.over_all(criterion, quantity, group).get(method)
        return cell_of(found, method in refused_somewhere(evaluation, criterion))

    return [
        cell("fairness", "relative"),
        _axiom_cell(evaluation, method),
        _growth_cell(evaluation, method),
        *(cell("sample_efficiency", "N_eps", each) for each in eps),
        cell("incentives", "R_prompt"),
        cell("incentives", "R_decode"),
    ]


def _axiom_cell(evaluation: Evaluation, method: str) -> Cell:
    axioms = axioms_of(evaluation).get(method)
    if axioms is None:
        return _absent(evaluation, "axioms", method)
    judged = [axiom for axiom in axioms if axiom.is_broken is not None]
    broken = [axiom for axiom in judged if axiom.is_broken]
    if not judged:
        return Cell("not judged", tone="muted")
    text = f"{len(broken)} of {len(judged)}"
    if not broken:
        return Cell(text, order=0.0, tone="good")
    worst = _largest(broken)
    # The number broken leads; grams decide between equals.
    order = len(broken) + (math.atan(worst) / math.pi if worst > 0 else 0.0)
    return Cell(text, f"up to {plain(worst)} g", order, "bad")


def _largest(broken: list[Axiom]) -> float:
    known = [axiom.grams for axiom in broken if not math.isnan(axiom.grams)]
    return max(known, default=math.nan)


def _growth_cell(evaluation: Evaluation, method: str) -> Cell:
    growth = growth_of(evaluation).get(method)
    if growth is None:
        return _absent(evaluation, "scalability", method)
    return growth_cell(growth)


def growth_cell(growth: Growth) -> Cell:
    """The steepest axis of a method in a cell."""
    if growth.verdict == "exponential":
        return Cell(
            "exponential", f"in {', '.join(growth.exponential_in)}", _EXPONENTIAL, "bad"
        )
    if growth.steepest is None:
        return Cell("unknown", tone="muted")
    axis, number = growth.steepest
    doubt = "" if growth.verdict == "polynomial" else "; too few sizes to tell"
    return Cell(f"{axis}: {plain(number.value)}", interval_of(number) + doubt, number.value)


def _absent(evaluation: Evaluation, criterion: str, method: str) -> Cell:
    if method in refused_somewhere(evaluation, criterion):
        return Cell(REFUSED, tone="bad")
    return Cell(NOTHING, tone="muted")
