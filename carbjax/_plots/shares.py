"""Who is responsible for how much, as stacked bars."""

import os

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from carbjax._attribution.attribution import Attribution
from carbjax._ledger import (
    player_labels,
    players_are_requests,
    replacing,
    require_writable,
)
from carbjax._workload import Workload

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
# Okabe and Ito's palette: told apart with any kind of colour vision.
_COLOURS = {
    "prefill": "#0072B2",
    "decode": "#E69F00",
    "idle": "#999999",
    "embodied": "#009E73",
}
_MAX_BARS = 20
_MILLIGRAMS_PER_GRAM = 1e3


def share_figure(attribution: Attribution, workload: Workload) -> Figure:
    """Bars of the largest shares, gCO2e (or mg) by component, and of what is left over."""
    shares = attribution.shares
    top = np.argsort(-shares, kind="stable")[:_MAX_BARS]
    labels = player_labels(workload)
    names = [labels[i] for i in top]
    others = np.setdiff1d(np.arange(len(shares)), top)
    if len(others):
        names.append(f"{len(others)} others")
    if attribution.unattributed:
        names.append("unattributed")
    bars = {name: _bars(attribution, name, top, others)[: len(names)] for name in _COLOURS}
    return _draw(names, bars, _title(attribution, workload))


def write_share_figure(
    attribution: Attribution, workload: Workload, path: str | os.PathLike[str]
) -> None:
    """Nothing; the figure of the shares stands at `path`, by suffix PNG, SVG or PDF."""
    require_writable(path, FIGURE_SUFFIXES)
    figure = share_figure(attribution, workload)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _bars(
    attribution: Attribution, name: str, top: np.ndarray, others: np.ndarray
) -> np.ndarray:
    component = attribution.components[name]
    rest = [component[others].sum()] if len(others) else []
    return np.array([*component[top], *rest, attribution.unattributed_components[name]])


def _draw(names: list[str], bars: dict[str, np.ndarray], title: str) -> Figure:
    milli = max(float(np.abs(values).max()) for values in bars.values()) < 1
    scale, unit = (_MILLIGRAMS_PER_GRAM, "mgCO$_2$e") if milli else (1.0, "gCO$_2$e")
    figure = Figure(figsize=(7, 1.6 + 0.24 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    # A component may be negative (a marginal contribution can be): stack each side.
    above, below = np.zeros(len(names)), np.zeros(len(names))
    places = np.arange(len(names))
    for component, values in bars.items():
        scaled = values * scale
        left = np.where(scaled >= 0, above, below)
        axes.barh(places, scaled, left=left, color=_COLOURS[component], label=component)
        above, below = above + np.maximum(scaled, 0), below + np.minimum(scaled, 0)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel(f"attributed carbon ({unit})")
    axes.set_title(title, fontsize="medium", loc="left")
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _title(attribution: Attribution, workload: Workload) -> str:
    kind = "requests" if players_are_requests(workload) else "tenants"
    return (
        f"{attribution.total:.4g} gCO$_2$e of {workload.num_requests} requests, "
        f"{workload.num_players} {kind}, method {attribution.method}"
    )
