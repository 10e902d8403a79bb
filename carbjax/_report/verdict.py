"""The whole judgement in one paragraph."""

import math
from collections.abc import Iterator

from carbjax._report.findings import EXACT, axioms_of, eps_of, growth_of
from carbjax._report.record import Evaluation, Number
from carbjax._report.wording import count, listed, marked, percent, plain, with_interval

_NOT_EVALUATED = "{} was not evaluated."


def verdict(evaluation: Evaluation) -> list[str]:
    """Sentences, each with its numbers; what was not evaluated is said to be so."""
    return [
        *_fairness(evaluation),
        *_axioms(evaluation),
        *_scalability(evaluation),
        *_samples(evaluation),
        *_incentives(evaluation),
        *_refused(evaluation),
    ]


def _known(found: dict[str, Number]) -> list[tuple[str, Number]]:
    """Methods with a finite value, the smallest first."""
    finite = [(m, n) for m, n in found.items() if n.is_known and math.isfinite(n.value)]
    return sorted(finite, key=lambda pair: pair[1].value)


def _fairness(evaluation: Evaluation) -> Iterator[str]:
    known = _known(evaluation.over_all("fairness", "relative"))
    if not known:
        yield _NOT_EVALUATED.format("The distance from the Shapley value")
        return
    exact = [m for m, n in known if n.value <= EXACT]
    rest = known[len(exact) :]
    if exact:
        yield f"{listed(exact)} {_s('gives', exact)} the Shapley value itself."
    if not rest:
        return
    (name, best), others = rest[0], rest[1:]
    lead = "Of the others" if exact else "By fairness"
    yield (
        f"{lead} {marked(name)} comes nearest: in the median its shares differ from the "
        f"Shapley value by {with_interval(best)} of the bill{_level_with(best, others)}."
    )
    if others:
        last, worst = others[-1]
        yield f"{marked(last)} is farthest, at {with_interval(worst)}."


def _level_with(best: Number, others: list[tuple[str, Number]]) -> str:
    """Who cannot be told apart from the best: their intervals overlap."""
    near = [
        m
        for m, n in others
        if n.has_interval and best.has_interval and n.lower <= best.upper
    ]
    if not near:
        return ""
    verb = _s("overlaps", near)
    return f"; the interval of {listed(near)} {verb} with that, so the order is open"


def _axioms(evaluation: Evaluation) -> Iterator[str]:
    found = axioms_of(evaluation)
    judged = {
        m: [a for a in axioms if a.is_broken is not None] for m, axioms in found.items()
    }
    judged = {m: axioms for m, axioms in judged.items() if axioms}
    if not judged:
        yield "Axioms were not evaluated."
        return
    kept = [m for m, axioms in judged.items() if not any(a.is_broken for a in axioms)]
    breaks = "break" if len(kept) != 1 else "breaks"
    whole = f"{len(kept)} of {len(judged)} methods {breaks} no axiom on any workload tried"
    yield f"{whole} ({listed(kept)})." if kept else f"{whole}."
    gaps = [
        (a.grams, m, a.name.replace("_", " "))
        for m, axioms in judged.items()
        for a in axioms
        if a.is_broken and not math.isnan(a.grams)
    ]
    if gaps:
        grams, name, axiom = max(gaps)
        yield f"The largest violation is {plain(grams)} gCO2e ({marked(name)}, {axiom})."


def _scalability(evaluation: Evaluation) -> Iterator[str]:
    found = growth_of(evaluation)
    if not found:
        yield _NOT_EVALUATED.format("Scalability")
        return
    by = {
        v: [m for m, g in found.items() if g.verdict == v]
        for v in ("polynomial", "exponential", "unknown")
    }
    parts = [f"grows as a polynomial for {len(by['polynomial'])} of {len(found)} methods"]
    if by["exponential"]:
        parts.append(f"exponentially for {listed(by['exponential'])}")
    if by["unknown"]:
        parts.append(f"cannot be told from the sizes measured for {listed(by['unknown'])}")
    yield f"Cost {'; '.join(parts)}."


def _samples(evaluation: Evaluation) -> Iterator[str]:
    eps = eps_of(evaluation)
    if not eps:
        yield _NOT_EVALUATED.format("Sample efficiency")
    for each in eps:
        found = evaluation.over_all("sample_efficiency", "N_eps", each)
        known = _known(found)
        if not known:
            yield f"No method was found to come within {each}."
            continue
        (name, fewest), (last, most) = known[0], known[-1]
        text = f"To be within {each}, {marked(name)} takes {_evaluations(fewest)} of v"
        more = f", the fewest, and {marked(last)} {count(most.value)}, the most"
        never = sum(n.is_known and math.isinf(n.value) for n in found.values())
        rest = f"; {never} of {len(found)} never come so near" if never else ""
        yield f"{text}{more if last != name else ''}{rest}."


def _evaluations(number: Number) -> str:
    interval = ""
    if number.has_interval and number.lower != number.upper:
        interval = f" ({count(number.lower)} to {count(number.upper)})"
    return f"{count(number.value)}{interval} evaluations"


def _incentives(evaluation: Evaluation) -> Iterator[str]:
    parts = []
    for quantity, what in (("R_prompt", "prompt"), ("R_decode", "answer")):
        known = _known(evaluation.over_all("incentives", quantity))
        if known:
            low, high = (
                f"{percent(n.value)} ({marked(m)})" for m, n in (known[0], known[-1])
            )
            saved = f"between {low} and {high} of the sender's bill"
            parts.append(f"a shorter {what} saves {saved}")
    text = " and ".join(parts)
    yield f"{text[0].upper()}{text[1:]}." if text else "Incentives were not evaluated."


def _refused(evaluation: Evaluation) -> Iterator[str]:
    names = list(
        dict.fromkeys(n.method for n in evaluation.numbers if n.status == "refused")
    )
    if names:
        was = "was" if len(names) == 1 else "were"
        yield f"{listed(names)} {was} refused in part or whole; the reasons stand below."


def _s(verb: str, names: list[str]) -> str:
    """The verb, without its s where there are several subjects."""
    return verb if len(names) == 1 else verb.removesuffix("s")
