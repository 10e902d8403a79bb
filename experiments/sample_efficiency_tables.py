"""The tables of `sample_efficiency.py`: evaluations needed, and beside streaming."""

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

ACCURACIES = (0.05, 0.01)
"""The eps of which `N_eps` is told."""


def show(rows: pa.Table) -> None:
    """Prints all."""
    print_table(rows)
    print_beside_streaming(rows)


def print_table(rows: pa.Table) -> None:
    """N_eps by estimator, and how many times fewer ours need than shapiq's best."""
    table = Table(title="Evaluations until every player is within eps: median (range)")
    for heading in ("library", "estimator", "control"):
        table.add_column(heading)
    sizes = sorted({int(name.split("/")[0]) for name in rows["game"].to_pylist()})
    for size in sizes:
        for accuracy in ACCURACIES:
            table.add_column(f"{size} players, {accuracy:.0%}", justify="right")
    needed = {size: evaluations_needed(rows, size) for size in sizes}
    for label in next(iter(needed.values())):
        cells = [
            _range(needed[size][label][:, k])
            for size in sizes
            for k in range(len(ACCURACIES))
        ]
        table.add_row(*label, *cells)
    Console(width=130).print(table)
    for size in sizes:
        for accuracy, ratio in zip(ACCURACIES, gain(needed[size]), strict=True):
            print(
                f"{size} players, {accuracy:.0%}: shapiq's best of each game needs "
                f"{np.median(ratio):.1f} times as many (range {ratio.min():.1f} to "
                f"{ratio.max():.1f})"
            )


def print_beside_streaming(rows: pa.Table) -> None:
    """Of the default, by budget: its error, and in how many games streaming is nearer."""
    each = rows.to_pylist()
    streaming = {r["game"]: r["p90"] for r in each if r["estimator"] == "streaming"}
    table = Table(title="odd over closed_form beside streaming alone")
    for heading in ("evaluations", "games", "median error", "worse than streaming", "by"):
        table.add_column(heading, justify="right")
    for budget in sorted({row["budget"] for row in each}):
        found = [
            (r["p90"], streaming[r["game"]])
            for r in each
            if (r["estimator"], r["control"]) == ("odd", "closed_form")
            and r["budget"] == budget
        ]
        if not found:
            continue
        error, other = np.array(found).T
        worse = np.maximum(error - other, 0.0)
        cells = (budget, len(error), f"{np.median(error):.2%}", (worse > 0).sum())
        table.add_row(*map(str, cells), f"{worse.max():.2%}")
    Console(width=130).print(table)


def evaluations_needed(rows: pa.Table, size: int) -> dict[tuple[str, str, str], np.ndarray]:
    """`N_eps` by (library, estimator, control), `"games accuracies"`; inf if never."""
    curves: dict[tuple[str, str, str], dict[str, list[tuple[int, float]]]] = {}
    for row in rows.to_pylist():
        if row["game"].startswith(f"{size}/") and row["estimator"] != "streaming":
            label = row["library"], row["estimator"], row["control"]
            curve = curves.setdefault(label, {}).setdefault(row["game"], [])
            curve.append((row["budget"], row["p90"]))
    return {
        label: np.array(
            [
                [_crossing(curve, accuracy) for accuracy in ACCURACIES]
                for curve in of.values()
            ]
        )
        for label, of in curves.items()
    }


def _crossing(curve: list[tuple[int, float]], accuracy: float) -> float:
    """The budget from which on the error is at most this."""
    budgets, errors = np.array(curve).T
    above = np.flatnonzero(errors > accuracy)
    if not len(above):
        return float(budgets[0])
    last = int(above[-1])
    if last == len(errors) - 1:
        return np.inf
    if not np.isfinite(errors[last]):
        return float(budgets[last + 1])
    x, y = np.log(budgets[last : last + 2]), np.log(errors[last : last + 2])
    return float(np.exp(x[0] + (x[1] - x[0]) * (np.log(accuracy) - y[0]) / (y[1] - y[0])))


def gain(needed: dict[tuple[str, str, str], np.ndarray]) -> np.ndarray:
    """How many times more shapiq's best of each game needs, `"accuracies games"`."""
    peers = [x for (library, *_), x in needed.items() if library != "carbjax"]
    if not peers:
        return np.full((len(ACCURACIES), 1), np.nan)
    return (np.min(peers, axis=0) / needed["carbjax", "odd", "closed_form"]).T


def _range(budgets: np.ndarray) -> str:
    def written(number: float) -> str:
        return f"{number:.0f}" if np.isfinite(number) else "never"

    low, middle, high = np.quantile(budgets, (0.0, 0.5, 1.0), method="higher")
    return f"{written(middle)} ({written(low)}-{written(high)})"
