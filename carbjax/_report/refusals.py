"""What the file says in words: refusals with their reasons, and remarks."""

import dataclasses
from collections.abc import Callable, Iterable

from carbjax._report.record import Evaluation, Number

TITLES = {
    "fairness": "Fairness",
    "axioms": "Axioms",
    "scalability": "Scalability",
    "sample_efficiency": "Sample efficiency",
    "incentives": "Incentives",
}


@dataclasses.dataclass(frozen=True)
class Reason:
    """One reason, and what it was given for."""

    method: str
    about: str
    text: str


def reasons_of(evaluation: Evaluation, status: str) -> list[Reason]:
    """Every reason of a status once, in the order of the methods."""
    found = [n for n in evaluation.numbers if n.status == status]
    return _once(evaluation, found, _criterion, "no reason was given")


def remarks_of(evaluation: Evaluation, criterion: str) -> list[Reason]:
    """What is said about numbers that are known, each remark of a method once."""
    found = [n for n in evaluation.of(criterion) if n.status == "ok" and n.reason]
    return _once(evaluation, found, _quantity, "")


def _once(
    evaluation: Evaluation,
    numbers: Iterable[Number],
    name: Callable[[Number], str],
    otherwise: str,
) -> list[Reason]:
    about: dict[tuple[str, str], list[str]] = {}
    for n in numbers:
        about.setdefault((n.method, n.reason or otherwise), []).append(name(n))
    order = {method: i for i, method in enumerate(evaluation.methods)}
    return [
        Reason(method, ", ".join(dict.fromkeys(names)), text)
        for (method, text), names in sorted(about.items(), key=lambda e: order[e[0][0]])
    ]


def _criterion(number: Number) -> str:
    title = TITLES[number.criterion]
    return f"{title} ({_words(number.group)})" if number.group else title


def _quantity(number: Number) -> str:
    known = (number.group, None if number.group else number.quantity)
    return ", ".join(_words(text) for text in known if text)


def _words(text: str) -> str:
    return text.replace("_", " ")
