"""The section about distances from the Shapley value."""

import dataclasses
import math
from collections.abc import Sequence

from carbjax._report.cells import Column, Table, methods_of, numbers_table, refused_by
from carbjax._report.record import Evaluation
from carbjax._report.scales import log_scale
from carbjax._report.strips import Strip, all_values, axis_of, strip_of
from carbjax._report.wording import with_interval

_FLOOR = 1e-4  # nearer than this is drawn at the left end
_KNOWN = {
    "relative": ("Distance", "part of the bill, L1"),
    "absolute_g": ("Distance, g", "L1"),
    "max_g": ("Largest error, g", "of one player"),
    "max_relative": ("Largest error", "of one player, in mean shares"),
    "kendall_tau": ("Rank agreement", "Kendall's tau-b, at most 1"),
    "top_overlap": ("Top quarter found", "part of those who should pay most"),
    "noise": ("Noise", "distance that sampling alone makes"),
}


@dataclasses.dataclass(frozen=True)
class StripChart:
    """Strips on one axis; `ticks` are (percent, text)."""

    rows: Sequence[tuple[str, Strip]]
    ticks: Sequence[tuple[float, str]]
    title: str


def distance_chart(evaluation: Evaluation) -> StripChart | None:
    """The relative distance of each method in each workload, the nearest first."""
    overall = evaluation.over_all("fairness", "relative")
    each = evaluation.by_workload("fairness", "relative")
    scale = log_scale(all_values(overall, each), _FLOOR)
    if scale is None:
        return None
    rows = []
    for name in methods_of(evaluation, "fairness"):
        number, values = overall.get(name), each.get(name, [])
        known = number is not None and number.is_known
        if name in refused_by(evaluation, "fairness") or not (known or values):
            continue
        said = with_interval(number) if number is not None and known else "unknown"
        spoken = f"median distance {said}, {len(values)} workloads"
        rows.append((name, strip_of(number, values, scale, spoken)))
    rows.sort(key=lambda row: math.inf if row[1].middle is None else row[1].middle)
    return StripChart(
        rows,
        axis_of(scale, as_percent=True),
        "distance from the Shapley value, part of the bill (logarithmic; nearer than "
        "the left end is drawn there)",
    )


def fairness_table(evaluation: Evaluation) -> Table:
    """Every distance that is known by name."""
    columns = [
        (Column(name, title, more), name, None)
        for name, (title, more) in _KNOWN.items()
        if evaluation.over_all("fairness", name)
    ]
    caption = "Distances from the Shapley value over all workloads"
    return numbers_table(evaluation, "fairness", columns, caption)
