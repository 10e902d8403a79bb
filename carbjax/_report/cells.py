"""Tables as the template draws them."""

import dataclasses
import math
from collections.abc import Sequence

from carbjax._report.record import Evaluation, Number
from carbjax._report.wording import interval_of, value_of

NOTHING, REFUSED, INAPPLICABLE = "–", "refused", "does not apply"


@dataclasses.dataclass(frozen=True)
class Cell:
    """Text, a second smaller line, what it is sorted by (None last), and a tone.

    `tone` is "", "good", "bad" or "muted".
    """

    text: str
    more: str = ""
    order: float | None = None
    tone: str = ""


@dataclasses.dataclass(frozen=True)
class Column:
    """`key` names it in the page's address: `#sort=key`."""

    key: str
    title: str
    more: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of methods; `heads` are groups of columns as (title, how many)."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    heads: Sequence[tuple[str, int]] = ()
    sorted_by: str = ""


def cell_of(number: Number | None, refused: bool = False) -> Cell:
    """A number with its interval, or why there is none."""
    if number is None:
        return Cell(REFUSED, tone="bad") if refused else Cell(NOTHING, tone="muted")
    if number.status == "refused":
        return Cell(REFUSED, tone="bad")
    if number.status == "not_applicable":
        return Cell(INAPPLICABLE, tone="muted")
    order = None if math.isnan(number.value) else number.value
    tone = "muted" if order is None else ""
    return Cell(value_of(number), interval_of(number), order, tone)


def numbers_table(
    evaluation: Evaluation,
    criterion: str,
    columns: Sequence[tuple[Column, str, str | None]],
    caption: str,
) -> Table:
    """A column for each (quantity, group) over all workloads, a row a method."""
    found = [evaluation.over_all(criterion, quantity, g) for _, quantity, g in columns]
    refused = refused_somewhere(evaluation, criterion)
    rows = [
        (name, [cell_of(each.get(name), name in refused) for each in found])
        for name in methods_of(evaluation, criterion)
    ]
    return Table(caption, [column for column, _, _ in columns], rows)


def methods_of(evaluation: Evaluation, criterion: str) -> list[str]:
    """Methods that the criterion says anything about."""
    judged = {n.method for n in evaluation.of(criterion)}
    return [name for name in evaluation.methods if name in judged]


def refused_by(evaluation: Evaluation, criterion: str) -> set[str]:
    """Methods that were refused for all of a criterion."""
    rows = evaluation.of(criterion)
    judged = {n.method for n in rows if n.status != "refused"}
    return {n.method for n in rows if n.status == "refused"} - judged


def refused_somewhere(evaluation: Evaluation, criterion: str) -> set[str]:
    """Methods that were refused for something of a criterion."""
    return {n.method for n in evaluation.of(criterion) if n.status == "refused"}
