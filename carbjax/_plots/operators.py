"""Measured calls and their fit, operator by operator."""

import itertools
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from carbjax._errors import ConfigError
from carbjax._fitting.series import MAX_LINES, Series
from carbjax._plots.saving import save_figure

# Okabe and Ito's palette: told apart with any kind of colour vision.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
_MANY = 60  # points in a line
_ROOM_FOR_LEGEND = 0.35  # of the axis
_MARKERS = "o^sD"
_MAX_COLUMNS = 4
_PANEL_INCHES = (2.9, 2.5)
_TITLES = {"gemm": "matrix products"}


def operator_figure(series: Sequence[Series], title: str = "") -> Figure:
    """A panel an operator: measured time as points, the fit as curves.

    Operators whose power was measured have a second panel below it. Raises
    `ConfigError` where there is nothing to draw.
    """
    if not series:
        raise ConfigError("there is no operator to draw.", hint="Fit one first.")
    lines = {
        name: list(group) for name, group in itertools.groupby(series, lambda s: s.operator)
    }
    panels = [(name, "time") for name in lines]
    panels += [(name, "power") for name in lines if _has_power(lines[name])]
    columns = min(len(panels), _MAX_COLUMNS)
    rows = -(-len(panels) // columns)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes, (name, quantity) in zip(grid, panels, strict=False):
        _draw(axes, lines[name][:MAX_LINES], quantity)
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.suptitle(title, fontsize="medium", x=0.01, ha="left")
    return figure


def write_operator_figure(
    series: Sequence[Series], path: str | os.PathLike[str], title: str = ""
) -> None:
    """Nothing; the figure stands at `path`, by suffix PNG, SVG or PDF."""
    save_figure(operator_figure(series, title), path)


def _draw(axes: Axes, lines: list[Series], quantity: str) -> None:
    for line, colour, marker in zip(lines, _COLOURS, _MARKERS, strict=False):
        if quantity == "time":
            measured, fitted = line.latency_s, line.fitted_latency_s
        else:
            measured, fitted = line.power_w, line.fitted_power_w
        axes.plot(
            line.size,
            measured,
            marker,
            color=colour,
            markersize=3 if len(line.size) < _MANY else 2,
            alpha=0.7 if len(line.size) < _MANY else 0.4,
            markeredgewidth=0,
            label=line.label,
        )
        axes.plot(line.size, fitted, color=colour, linewidth=1.2)
    axes.set_xscale("log")
    if quantity == "time":
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** _ROOM_FOR_LEGEND)
    else:
        axes.set_ylim(0, axes.get_ylim()[1] * (1 + _ROOM_FOR_LEGEND))
    _label(axes, lines[0], quantity)


def _label(axes: Axes, line: Series, quantity: str) -> None:
    name = _TITLES.get(line.operator, line.operator.replace("_", " "))
    axes.set_title(name, fontsize="medium", loc="left")
    axes.set_xlabel(line.size_name, fontsize="small")
    axes.set_ylabel("time (s)" if quantity == "time" else "power (W)", fontsize="small")
    axes.tick_params(labelsize="small")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="x-small", loc="upper left", handletextpad=0.2)


def _has_power(lines: list[Series]) -> bool:
    return any(np.isfinite(line.power_w).any() for line in lines)
