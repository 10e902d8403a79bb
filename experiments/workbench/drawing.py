"""One style for all figures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, RED, GREY, BLACK = "#56B4E9", "#D55E00", "#999999", "#000000"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY)
MARKERS = "osD^vP"


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **panels: Any
) -> tuple[Figure, np.ndarray]:
    """A figure of that many inches and its panels, `"rows columns"`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **panels)


def tidy(axes: Axes, title: str | None = None, grid: str = "both") -> None:
    """The panel with a light grid, no box, and its title at the left."""
    axes.grid(axis=grid, alpha=0.3)  # pyright: ignore[reportArgumentType]
    axes.spines[["top", "right"]].set_visible(False)
    if title is not None:
        axes.set_title(title, loc="left", fontsize="medium")


def draw_spans(
    axes: Axes,
    names: list[str],
    spans: Mapping[str, np.ndarray],
    colours: Mapping[str, str],
) -> None:
    """Low, middle and high of each name (a row), `"names 3"`, by what varies."""
    offsets = np.linspace(-0.3, 0.3, len(spans)) if len(spans) > 1 else [0.0]
    for k, ((label, values), offset) in enumerate(zip(spans.items(), offsets, strict=True)):
        low, middle, high = values.T
        axes.errorbar(
            middle,
            np.arange(len(names)) + offset,
            xerr=(middle - low, high - middle),
            fmt=MARKERS[k],
            color=colours[label],
            markersize=5,
            elinewidth=1.2,
            label=label,
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
