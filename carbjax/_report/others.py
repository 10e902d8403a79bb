"""Numbers that no section knows by name: none is left out."""

from carbjax._report.cells import Column, Table, numbers_table
from carbjax._report.record import Evaluation

_SHOWN = {
    "fairness": set(
        "relative absolute_g max_g max_relative kendall_tau top_overlap noise".split()
    ),
    "axioms": {"violation_g", "violation_relative", "broken", "num_broken"},
    "scalability": {"exponent", "polynomial"},
    "sample_efficiency": {"N_eps"},
    "incentives": {"R_prompt", "R_decode", "padding_rewarded", "padding_fall"},
}
_UNGROUPED = ("fairness", "incentives")  # there a group makes it another number


def other_numbers(evaluation: Evaluation, criterion: str) -> Table | None:
    """All further numbers over all workloads, a column a quantity and group."""
    found = {
        (n.quantity, n.group): n.unit
        for n in evaluation.of(criterion)
        if n.workload is None
        and n.quantity
        and not _is_shown(n.quantity, n.group, criterion)
    }
    if not found:
        return None
    columns = [
        (
            Column(_key(quantity, group), quantity.replace("_", " "), _more(group, unit)),
            quantity,
            group,
        )
        for (quantity, group), unit in found.items()
    ]
    return numbers_table(evaluation, criterion, columns, "Further numbers")


def _is_shown(quantity: str, group: str | None, criterion: str) -> bool:
    known = quantity in _SHOWN[criterion]
    return known and (group is None or criterion not in _UNGROUPED)


def _key(quantity: str, group: str | None) -> str:
    return quantity if group is None else f"{quantity}_{group}"


def _more(group: str | None, unit: str) -> str:
    return ", ".join(part for part in (group, unit) if part)
