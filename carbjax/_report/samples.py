"""The section about how many values of v are needed."""

import math

from carbjax._report.cells import Column, Table, methods_of, numbers_table
from carbjax._report.fairness import StripChart
from carbjax._report.findings import eps_of
from carbjax._report.record import Evaluation
from carbjax._report.scales import log_scale
from carbjax._report.strips import all_values, axis_of, strip_of
from carbjax._report.wording import with_interval


def samples_table(evaluation: Evaluation) -> Table:
    """N_eps of each method at each accuracy."""
    columns = [
        (Column(f"N_{eps}", f"within {eps}", "evaluations of v"), "N_eps", eps)
        for eps in eps_of(evaluation)
    ]
    caption = "Values of v needed to be near the Shapley value"
    return numbers_table(evaluation, "sample_efficiency", columns, caption)


def samples_charts(evaluation: Evaluation) -> list[StripChart]:
    """N_eps with its interval on one axis, a chart an accuracy."""
    found = {
        e: evaluation.over_all("sample_efficiency", "N_eps", e) for e in eps_of(evaluation)
    }
    drawn = [v for numbers in found.values() for v in all_values(numbers, {})]
    scale = log_scale(drawn, 1.0)
    if scale is None:
        return []
    charts = []
    for eps, numbers in found.items():
        rows = [
            (name, strip_of(n, (), scale, f"{with_interval(n)} evaluations"))
            for name in methods_of(evaluation, "sample_efficiency")
            if (n := numbers.get(name)) is not None
            and n.is_known
            and math.isfinite(n.value)
        ]
        rows.sort(key=lambda row: math.inf if row[1].middle is None else row[1].middle)
        title = f"evaluations of v to be within {eps} (logarithmic; 0 at the left end)"
        charts.append(StripChart(rows, axis_of(scale, as_percent=False), title))
    return charts
