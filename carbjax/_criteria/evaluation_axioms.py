"""Violations of axioms as parts of an evaluation."""

from carbjax._criteria.axioms import AxiomReport, Violation, check_axioms
from carbjax._criteria.evaluation_bench import Bench
from carbjax._criteria.evaluation_methods import Judged
from carbjax._criteria.evaluation_rows import Row, refused
from carbjax._criteria.evaluation_store import Part

_CRITERION = "axioms"


def judge_axioms(bench: Bench, method: Judged) -> Part:
    """By how much each axiom is broken on small random workloads, with examples."""
    settings = bench.settings
    report = check_axioms(
        method.given, system=bench.system, seed=settings.seed, key=bench.key
    )
    if report.refusal is not None:
        return Part(rows=(refused(_CRITERION, method.name, report.refusal.reason),))
    rows = [row for v in report.violations.values() for row in _rows(method.name, v)]
    return Part(rows=tuple(rows), examples=_examples(report))


def _rows(name: str, violation: Violation) -> list[Row]:
    """Grams, mean shares, and whether that is more than rounding."""
    judged = violation.num_workloads > 0
    numbers = (
        ("violation_g", "gCO2e", violation.grams),
        ("violation_relative", "", violation.relative),
        ("broken", "", float(violation.broken) if judged else None),
    )
    return [
        Row(
            _CRITERION,
            name,
            quantity,
            value,
            unit,
            group=violation.axiom,
            num_values=violation.num_workloads,
            status="ok" if judged else "not_applicable",
            reason=violation.note or None,
        )
        for quantity, unit, value in numbers
    ]


def _examples(report: AxiomReport) -> tuple[dict, ...]:
    return tuple(
        {
            "method": report.method,
            "axiom": v.axiom,
            "violation_g": v.example_gap.grams,
            "text": _text(v),
            "workload": {
                "arrival_s": v.example.arrival_s.tolist(),
                "num_prefill_tokens": v.example.num_prefill_tokens.tolist(),
                "num_decode_tokens": v.example.num_decode_tokens.tolist(),
                "player": v.example.player.tolist(),
            },
        }
        for v in report.violations.values()
        if v.example is not None and v.example_gap is not None
    )


def _text(violation: Violation) -> str:
    """Such as "symmetry: 0.0012 gCO2e, 8% of the mean share"."""
    gap = violation.example_gap
    assert gap is not None
    what = violation.axiom.replace("_", " ")
    part = f"{gap.grams:.3g} gCO2e, {gap.relative:.2%} of the mean share"
    return f"{what}: {part}" + (f" ({gap.note})" if gap.note else "")
