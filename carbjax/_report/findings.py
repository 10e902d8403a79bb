"""What the numbers of each criterion come to for a method."""

import dataclasses
import math

from carbjax._report.cells import refused_by
from carbjax._report.record import Evaluation, Number

EXACT = 1e-6  # relative distance: rounding
_BROKEN_RELATIVE = 1e-4  # of the mean share, as `carbjax.check_axioms` has it
_BROKEN_G = 1e-9
AXES = ("C", "I", "t", "R")


@dataclasses.dataclass(frozen=True)
class Axiom:
    """Whether a method breaks an axiom; None where nothing was judged."""

    name: str
    is_broken: bool | None
    violation: Number | None
    relative: Number | None

    @property
    def grams(self) -> float:
        return math.nan if self.violation is None else self.violation.value


def axioms_of(evaluation: Evaluation) -> dict[str, list[Axiom]]:
    """The axioms of each method that was judged by them."""
    names = axiom_names(evaluation)
    grams, relative, broken = (
        {name: evaluation.over_all("axioms", quantity, name) for name in names}
        for quantity in ("violation_g", "violation_relative", "broken")
    )
    refused = refused_by(evaluation, "axioms")
    methods = {n.method for n in evaluation.of("axioms")} - refused
    return {
        m: [
            _axiom(name, *(found[name].get(m) for found in (grams, relative, broken)))
            for name in names
        ]
        for m in evaluation.methods
        if m in methods
    }


def axiom_names(evaluation: Evaluation) -> list[str]:
    """Axioms tried, in the order of the file."""
    names: dict[str, None] = {}
    for quantity in ("violation_g", "violation_relative", "broken"):
        names |= dict.fromkeys(evaluation.groups("axioms", quantity))
    return list(names)


def _axiom(
    name: str, grams: Number | None, relative: Number | None, broken: Number | None
) -> Axiom:
    verdict = None
    for number, limit in (
        (broken, 0.5),
        (relative, _BROKEN_RELATIVE),
        (grams, _BROKEN_G),
    ):
        if number is not None and number.is_known and verdict is None:
            verdict = number.value > limit
    return Axiom(name, verdict, grams, relative)


@dataclasses.dataclass(frozen=True)
class Growth:
    """The exponents of a method by axis, and whether it grows as a polynomial."""

    exponents: dict[str, Number]
    is_polynomial: dict[str, bool | None]

    @property
    def verdict(self) -> str:
        """ "exponential", else "unknown", else "polynomial": the worst of the axes."""
        found = set(self.is_polynomial.values())
        if False in found:
            return "exponential"
        return "unknown" if None in found or not found else "polynomial"

    @property
    def exponential_in(self) -> list[str]:
        return [axis for axis, fine in self.is_polynomial.items() if fine is False]

    @property
    def steepest(self) -> tuple[str, Number] | None:
        """The axis with the largest known exponent."""
        known = [(a, n) for a, n in self.exponents.items() if n.is_known]
        return max(known, key=lambda pair: pair[1].value, default=None)


def growth_of(evaluation: Evaluation) -> dict[str, Growth]:
    """How the cost of each method grows."""
    axes = scaling_axes(evaluation)
    exponents = {a: evaluation.over_all("scalability", "exponent", a) for a in axes}
    verdicts = {a: evaluation.over_all("scalability", "polynomial", a) for a in axes}
    methods = {m for found in (*exponents.values(), *verdicts.values()) for m in found}
    return {
        m: Growth(
            {a: exponents[a][m] for a in axes if m in exponents[a]},
            {a: _yes_or_no(verdicts[a].get(m)) for a in axes if m in exponents[a]},
        )
        for m in evaluation.methods
        if m in methods
    }


def scaling_axes(evaluation: Evaluation) -> list[str]:
    """The axes measured: C, I, t, R, then others."""
    found = evaluation.groups("scalability", "exponent")
    found += [a for a in evaluation.groups("scalability", "polynomial") if a not in found]
    return sorted(found, key=lambda a: AXES.index(a) if a in AXES else len(AXES))


def _yes_or_no(number: Number | None) -> bool | None:
    if number is None or not number.is_known:
        return None
    return number.value > 0.5


def eps_of(evaluation: Evaluation) -> list[str]:
    """Accuracies that N_eps was found for, the coarsest first."""
    groups = evaluation.groups("sample_efficiency", "N_eps")
    return sorted(groups, key=_coarseness)


def _coarseness(eps: str) -> float:
    try:
        return -float(eps.rstrip("% g"))
    except ValueError:
        return math.inf
