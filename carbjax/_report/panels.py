"""Curves as small panels, one a method, all on the same axes."""

import dataclasses
import math
from collections.abc import Sequence

from carbjax._report.scales import Scale

WIDTH, HEIGHT = 320, 210  # of the viewBox
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 12, 10, 42


@dataclasses.dataclass(frozen=True)
class Series:
    """Values along an axis. `kind` picks colour and dash, `band` lies around them."""

    label: str
    kind: int
    x: Sequence[float]
    y: Sequence[float]
    band: Sequence[tuple[float, float]] = ()


@dataclasses.dataclass(frozen=True)
class Line:
    """A series in the coordinates of the panel."""

    label: str
    kind: int
    path: str
    dots: tuple[tuple[float, float], ...]
    band: str


@dataclasses.dataclass(frozen=True)
class Panel:
    """One method's lines; ticks are (place, text)."""

    method: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    x_title: str
    y_title: str
    spoken: str
    is_cut: bool

    left, right = _LEFT, WIDTH - _RIGHT
    top, bottom = _TOP, HEIGHT - _BOTTOM
    width, height = WIDTH, HEIGHT


@dataclasses.dataclass(frozen=True)
class Axes:
    """What the panels of a section share."""

    x: Scale
    y: Scale
    x_title: str
    y_title: str
    y_percent: bool = False

    def panel(self, method: str, series: Sequence[Series], spoken: str) -> Panel:
        """The panel of one method."""
        drawn = [y for s in series for y in s.y if not math.isnan(y)]
        x_labels, y_labels = self.x.labels(), self.y.labels(self.y_percent)
        return Panel(
            method,
            tuple(self._line(s) for s in series),
            tuple((_across(at), text) for at, text in x_labels),
            tuple((_down(at), text) for at, text in y_labels),
            self.x_title,
            self.y_title,
            spoken,
            is_cut=not all(self.y.holds(y) for y in drawn),
        )

    def _line(self, series: Series) -> Line:
        points = [
            (_across(self.x.at(x)), _down(self.y.at(y)))
            for x, y in zip(series.x, series.y, strict=True)
            if math.isfinite(x) and math.isfinite(y)
        ]
        return Line(
            series.label, series.kind, _path(points), tuple(points), self._band(series)
        )

    def _band(self, series: Series) -> str:
        ends = [
            (x, low, high)
            for x, (low, high) in zip(series.x, series.band, strict=False)
            if math.isfinite(low) and math.isfinite(high)
        ]
        upper = [(_across(self.x.at(x)), _down(self.y.at(high))) for x, _, high in ends]
        lower = [(_across(self.x.at(x)), _down(self.y.at(low))) for x, low, _ in ends]
        return f"{_path(upper + lower[::-1])}Z" if len(ends) > 1 else ""


def _across(at: float) -> float:
    return round(_LEFT + at * (WIDTH - _LEFT - _RIGHT), 1)


def _down(at: float) -> float:
    return round(HEIGHT - _BOTTOM - at * (HEIGHT - _TOP - _BOTTOM), 1)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""
