"""The figure of `sample_efficiency.py`: error against budget."""

import pathlib

import matplotlib
import numpy as np
import pyarrow as pa
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_PERCENT = 100.0
# What is drawn, first to last; the CSV has more. Okabe and Ito's palette: ours are whole
# lines, those of others dashed.
_LINES = {
    ("carbjax", "odd", "closed_form"): "#D55E00",
    ("carbjax", "adjusted", "closed_form"): "#E69F00",
    ("carbjax", "leverage_shap", "closed_form"): "#0072B2",
    ("carbjax", "stratified", "closed_form"): "#009E73",
    ("carbjax", "antithetic", "closed_form"): "#CC79A7",
    ("carbjax", "permutation", "closed_form"): "#000000",
    ("carbjax", "odd", "none"): "#D55E00",
    ("shapiq", "OddSHAP", "none"): "#D55E00",
    ("shapiq", "RegressionMSR, trees", "none"): "#E69F00",
    ("shapiq", "LeverageSHAP", "none"): "#0072B2",
    ("shapiq", "ProxySHAP, trees", "none"): "#56B4E9",
    ("shapiq", "permutation", "none"): "#000000",
}
_LOWEST, _HIGHEST = 0.5, 100.0  # % of the mean share


def write(rows: pa.Table, csv: pathlib.Path) -> list[pathlib.Path]:
    """The images written beside the CSV."""
    figure = draw(rows)
    images = [csv.with_suffix(suffix) for suffix in (".png", ".svg")]
    # A figure of the same numbers is the same file.
    with matplotlib.rc_context({"svg.hashsalt": "sample_efficiency"}):
        figure.savefig(images[0], dpi=150)
        figure.savefig(images[1], metadata={"Date": None})
    return images


def draw(rows: pa.Table) -> Figure:
    """For each number of players, the median over games of each estimator's error."""
    sizes = sorted({int(name.split("/")[0]) for name in rows["game"].to_pylist()})
    figure = Figure(figsize=(5.0 * len(sizes) + 1.5, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for axes, size in zip(panels, sizes, strict=True):
        of_size = [r for r in rows.to_pylist() if r["game"].startswith(f"{size}/")]
        _draw_size(axes, of_size)
        games = len({row["game"] for row in of_size})
        axes.set_title(f"{size} players, {games} games", fontsize="medium", loc="left")
        axes.set_xlabel("evaluations of v")
    panels[0].set_ylabel("error of the worst player (% of the mean share)")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside right center", fontsize=8)
    return figure


def _draw_size(axes, rows: list[dict]) -> None:
    games = sorted({row["game"] for row in rows})
    for (library, estimator, control), colour in _LINES.items():
        own = [
            r
            for r in rows
            if r["library"].startswith(library)
            and (r["estimator"], r["control"]) == (estimator, control)
        ]
        if not own:
            continue
        budgets, errors = _median(own, games)
        axes.plot(
            budgets,
            _PERCENT * errors,
            label=_name(own[0]["library"], estimator, control),
            color=colour,
            linestyle=_style(library, control),
            linewidth=2.8 if (estimator, control) == ("odd", "closed_form") else 1.1,
            zorder=3 if (estimator, control) == ("odd", "closed_form") else 2,
        )
    streaming = [row["p90"] for row in rows if row["estimator"] == "streaming"]
    level = _PERCENT * np.median(streaming)
    axes.axhline(level, color="#777777", linewidth=1, label="streaming, one run")
    axes.set(xscale="log", yscale="log", ylim=(_LOWEST, _HIGHEST))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    for accuracy in (1, 5):
        axes.axhline(accuracy, color="#000000", alpha=0.25, linewidth=0.8)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def _median(rows: list[dict], games: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Over games, of the quantile 0.9 over seeds.

    A curve that has ended, since its error was small enough, stays where it ended. The
    median ends where fewer than half of the curves go on.
    """
    curves = {name: {} for name in games}
    for row in rows:
        curves[row["game"]][row["budget"]] = row["p90"]
    budgets = sorted({row["budget"] for row in rows})
    going = np.array([[budget in of for budget in budgets] for of in curves.values()])
    errors = np.array([_carried(of, budgets) for of in curves.values()])
    middle = np.median(errors, axis=0)
    shown = np.isfinite(middle) & (2 * going.sum(axis=0) >= len(games))
    return np.array(budgets)[shown], middle[shown]


def _carried(curve: dict[int, float], budgets: list[int]) -> list[float]:
    """Its error at each budget: infinite before the first, the last one after the last."""
    last = max(curve, default=0)
    return [curve.get(b, curve[last] if b > last > 0 else np.inf) for b in budgets]


def _name(library: str, estimator: str, control: str) -> str:
    if library != "carbjax":
        return f"{estimator} ({library})"
    return f"{estimator}, {'no control' if control == 'none' else 'closed form'}"


def _style(library: str, control: str) -> str:
    if library != "carbjax":
        return "dashed"
    return "dotted" if control == "none" else "solid"
