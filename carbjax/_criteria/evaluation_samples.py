"""How many values of v it takes to be near the truth, as parts of an evaluation."""

import math

import jax.random as jr
import numpy as np

from carbjax._attribution.attribution import Attribution
from carbjax._criteria.bootstrap import Interval
from carbjax._criteria.evaluation_bench import Bench
from carbjax._criteria.evaluation_methods import Effort, Judged
from carbjax._criteria.evaluation_rows import Row, refused
from carbjax._criteria.evaluation_store import Part
from carbjax._criteria.guard import Refusal
from carbjax._criteria.sample_efficiency import sample_efficiencies

_CRITERION = "sample_efficiency"
_UNIT = "evaluations"
SAMPLED = "sampled"  # the method that `carbjax.estimate_shapley` stands behind
_SEEDS = 10  # of other methods that sample, whose budget is their own


def judge_samples(bench: Bench, method: Judged, index: int, _: Effort) -> Part:
    """N_eps of the estimators for `sampled`, and what any other method takes."""
    if method.name == SAMPLED and method.source == "registry":
        return Part(rows=_of_estimators(bench, index))
    return _of_method(bench, method, index)


def eps_label(eps: float) -> str:
    """Such as 5%."""
    return f"{100 * eps:g}%"


def estimator_label(estimator: str) -> str:
    """What the rows of an estimator are called."""
    return SAMPLED if estimator == "auto" else f"{SAMPLED} ({estimator})"


def _of_estimators(bench: Bench, index: int) -> tuple[Row, ...]:
    settings, case = bench.settings, bench.case(index)
    rows = []
    for estimator in settings.estimators:
        found = sample_efficiencies(
            case.game,
            settings.eps,
            estimator=estimator,
            table=case.table,
            alpha=settings.alpha,
            repeats=settings.repeats,
            truth=case.truth,
            key=bench.key,
        )
        for eps, each in zip(settings.eps, found, strict=True):
            row = _row(estimator_label(estimator), eps, each.num_evaluations, index)
            runs = sum(tried.runs for tried in each.tried)
            between = Interval(each.lower, each.upper, each.level)
            rows.append(row.within(between)._replace(num_values=runs))
    return tuple(rows)


def _of_method(bench: Bench, method: Judged, index: int) -> Part:
    """All that it takes if it then is near enough, else infinity."""
    settings, case = bench.settings, bench.case(index)
    keys = [jr.fold_in(bench.key, run) for run in range(_SEEDS)]
    keys = [None] if method.exact else keys
    errors, counts = [], []
    for key in keys:
        found, number = bench.count(method, index, key)
        if isinstance(found, Refusal):
            return Part(rows=(refused(_CRITERION, method.name, found.reason, index),))
        errors.append(_error(found, case.truth))
        counts.append(number)
    taken = float(np.mean(counts))
    rows = [Row(_CRITERION, method.name, "num_evaluations", taken, _UNIT, workload=index)]
    for eps in settings.eps:
        near = np.mean(np.array(errors) <= eps * case.mean_g)
        needed = taken if near >= 1 - settings.alpha else math.inf
        row = _row(method.name, eps, needed, index)
        rows.append(row._replace(num_values=len(keys)))
    return Part(rows=tuple(rows))


def _error(found: Attribution, truth: np.ndarray) -> float:
    return float(np.abs(found.shares - truth).max())


def _row(name: str, eps: float, value: float, index: int) -> Row:
    return Row(
        _CRITERION, name, "N_eps", value, _UNIT, group=eps_label(eps), workload=index
    )
