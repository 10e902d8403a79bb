"""The section about cost against players, iterations, tokens and requests."""

import math
from collections.abc import Sequence

from carbjax._report.cells import (
    Cell,
    Column,
    Table,
    cell_of,
    methods_of,
    refused_somewhere,
)
from carbjax._report.findings import AXES, Growth, growth_of, scaling_axes
from carbjax._report.panels import Axes, Panel, Series
from carbjax._report.record import Evaluation, ScalePoint, ordered
from carbjax._report.scales import log_scale
from carbjax._report.wording import plain

MEANING = {"C": "players", "I": "iterations", "t": "tokens", "R": "requests"}
_TONES = {"polynomial": "good", "exponential": "bad", "unknown": "muted"}


def growth_table(evaluation: Evaluation) -> Table:
    """Exponents with their intervals, and the verdict, of each method."""
    axes = scaling_axes(evaluation)
    columns = [Column(f"exponent_{a}", a, MEANING.get(a, "")) for a in axes]
    columns.append(Column("verdict", "Verdict", "against POLY(C, I, t, R)"))
    found, refused = growth_of(evaluation), refused_somewhere(evaluation, "scalability")
    rows = [
        (name, _row(found.get(name), axes, name in refused))
        for name in methods_of(evaluation, "scalability")
    ]
    return Table("Exponent of the cost of a call in each size", columns, rows)


def _row(growth: Growth | None, axes: Sequence[str], refused: bool) -> list[Cell]:
    if growth is None:
        return [cell_of(None, refused)] * (len(axes) + 1)
    cells = [cell_of(growth.exponents.get(a), refused) for a in axes]
    order = ("polynomial", "unknown", "exponential").index(growth.verdict)
    more = ", ".join(f"in {axis}" for axis in growth.exponential_in)
    return [*cells, Cell(growth.verdict, more, order, _TONES[growth.verdict])]


def cost_panels(evaluation: Evaluation) -> list[Panel]:
    """Seconds a call against size over the smallest size; a panel a method."""
    points = [p for p in evaluation.scaling or () if p.size > 0 and p.seconds > 0]
    seconds = log_scale(p.seconds for p in points)
    smallest = _smallest(points)
    times = log_scale(p.size / smallest[p.method, p.axis] for p in points)
    if seconds is None or times is None:
        return []
    axes = Axes(times, seconds, "size, times the smallest", "seconds a call")
    growth = growth_of(evaluation)
    return [
        _panel(axes, name, points, smallest, growth.get(name))
        for name in evaluation.among(p.method for p in points)
    ]


def _smallest(points: Sequence[ScalePoint]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for p in points:
        found[p.method, p.axis] = min(p.size, found.get((p.method, p.axis), p.size))
    return found


def _panel(
    axes: Axes,
    method: str,
    points: Sequence[ScalePoint],
    smallest: dict[tuple[str, str], int],
    growth: Growth | None,
) -> Panel:
    series = []
    for axis in ordered(p.axis for p in points if p.method == method):
        own = sorted(
            (p.size, p.seconds) for p in points if (p.method, p.axis) == (method, axis)
        )
        times = [size / smallest[method, axis] for size, _ in own]
        label = f"{axis} {_exponent(growth, axis)}".strip()
        series.append(Series(label, kind_of(axis), times, [s for _, s in own]))
    spoken = "; ".join(
        f"{s.label}: {plain(s.y[0])} to {plain(s.y[-1])} s at {plain(s.x[-1])} times"
        for s in series
    )
    return axes.panel(method, series, spoken)


def kind_of(axis: str) -> int:
    """The colour and dash of an axis, 0 to 3."""
    return AXES.index(axis) if axis in AXES else 0


def _exponent(growth: Growth | None, axis: str) -> str:
    number = None if growth is None else growth.exponents.get(axis)
    if number is None or math.isnan(number.value):
        return ""
    return f"{number.value:.2f}"
