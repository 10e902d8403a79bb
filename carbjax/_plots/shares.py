"""Who is responsible for how much, as stacked bars."""

import os

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from carbjax._attribution.attribution import Attribution
from carbjax._ledger import player_labels, players_are_requests
from carbjax._plots.saving import save_figure
from carbjax._workload import Workload

# Okabe and Ito's palette: told apart with any kind of colour vision.
_COLOURS = {
    "prefill": "#0072B2",
    "decode": "#E69F00",
    "idle": "#999999",
    "embodied": "#009E73",
}
_MAX_BARS = 20
_MILLIGRAMS_PER_GRAM = 1e3
_NEGLIGIBLE = 1e-9  # of the total: rounding


def share_figure(attribution: Attribution, workload: Workload) -> Figure:
    """Bars of the largest shares by component, gCO2e (or mg).

    The other players and the unattributed part are told in the caption: together they
    may be a thousand times the largest share.
    """
    top = np.argsort(-attribution.shares, kind="stable")[:_MAX_BARS]
    labels = player_labels(workload)
    bars = {name: attribution.components[name][top] for name in _COLOURS}
    figure = _draw([labels[i] for i in top], bars)
    figure.axes[0].set_title(
        _caption(attribution, workload, top), fontsize="medium", loc="left"
    )
    return figure


def write_share_figure(
    attribution: Attribution, workload: Workload, path: str | os.PathLike[str]
) -> None:
    """Nothing; the figure of the shares stands at `path`, by suffix PNG, SVG or PDF."""
    save_figure(share_figure(attribution, workload), path)


def _draw(names: list[str], bars: dict[str, np.ndarray]) -> Figure:
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
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _caption(attribution: Attribution, workload: Workload, top: np.ndarray) -> str:
    kind = "requests" if players_are_requests(workload) else "tenants"
    lines = [
        f"{workload.num_players} {kind}, {attribution.total:.4g} gCO$_2$e, "
        f"method {attribution.method}"
    ]
    left_out = []
    if abs(attribution.unattributed) > _NEGLIGIBLE * abs(attribution.total):
        left_out.append(f"unattributed {attribution.unattributed:.3g} g")
    if len(top) < workload.num_players:
        others = attribution.shares.sum() - attribution.shares[top].sum()
        count = workload.num_players - len(top)
        left_out.insert(0, f"{count} others {others:.3g} g")
    if left_out:
        lines.append(f"not drawn: {', '.join(left_out)}")
    return "\n".join(lines)
