"""Errors of shapiq's estimators on games given as tables, for `sample_efficiency.py`.

    python experiments/shapiq_errors.py GAMES.npz OUT.csv

Runs in any interpreter that has numpy and shapiq (1.8 needs Python 3.12; trees need
xgboost too), so that shapiq can live in an environment of its own. `GAMES.npz` holds the
2^n values of each game, bit i of an index being player i, and the vectors `budgets`,
`num_seeds` and `enough`: the error below which larger budgets are left out. Writes a row
for each game, estimator and budget.
"""

import argparse
import csv
import importlib.metadata
import math
import pathlib
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

FIELDS = ("game", "library", "estimator", "control", "budget", "median", "p90", "seconds")


def estimators() -> dict[str, Callable[[int, int], Any]]:
    """By name: makes the estimator for so many players and a seed.

    Each as it does best here: complementary pairs where they are optional, and the
    proxy's error corrected. With pairs PolySHAP of order 2 is KernelSHAP.
    """
    from shapiq import approximator as shapiq  # pyright: ignore[reportMissingImports]

    return {
        "OddSHAP": lambda n, s: shapiq.OddSHAP(n, random_state=s),
        "RegressionMSR, linear": lambda n, s: shapiq.RegressionMSR(
            n, index="SV", proxy_model="linear", random_state=s
        ),
        "RegressionMSR, trees": lambda n, s: shapiq.RegressionMSR(
            n, index="SV", proxy_model="xgboost", random_state=s
        ),
        "ProxySHAP, trees": lambda n, s: shapiq.ProxySHAP(
            n, max_order=1, index="SV", adjustment=True, random_state=s
        ),
        "PolySHAP-3": lambda n, s: shapiq.PolySHAP(
            n, max_order=3, pairing_trick=True, random_state=s
        ),
        "LeverageSHAP": lambda n, s: shapiq.LeverageSHAP(n, random_state=s),
        "KernelSHAP": lambda n, s: shapiq.KernelSHAP(n, pairing_trick=True, random_state=s),
        "permutation": lambda n, s: shapiq.PermutationSamplingSV(n, random_state=s),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Errors of shapiq's estimators.")
    parser.add_argument("games", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    stored = dict(np.load(arguments.games))
    budgets, num_seeds, enough = (
        stored.pop(name) for name in ("budgets", "num_seeds", "enough")
    )
    library = f"shapiq {importlib.metadata.version('shapiq')}"
    with arguments.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for game, values in stored.items():
            for name, make in estimators().items():
                for row in curve(values, make, budgets.tolist(), int(num_seeds), enough):
                    writer.writerow((game, library, name, "none", *row))
                file.flush()
            print(f"{library}: {game}", file=sys.stderr)


def curve(values, make, budgets: list[int], num_seeds: int, enough: float):
    """Budget, median and 0.9 quantile of the error over seeds, CPU seconds of a run.

    The error is that of the worst player, over the mean share; infinite where the
    estimator has no answer. Ends after the first budget whose quantile is `enough`.
    """
    num_players = len(values).bit_length() - 1
    truth = exact_shapley(values)
    bits = 1 << np.arange(num_players)
    worth = values - values[0]

    def game(coalitions) -> np.ndarray:
        return worth[np.atleast_2d(coalitions).astype(np.int64) @ bits].copy()

    for budget in (b for b in budgets if b < len(values)):
        start, errors = time.process_time(), []
        for seed in range(num_seeds):
            found = _shares(make(num_players, seed), budget, game, num_players)
            errors.append(np.abs(found - truth).max() / abs(truth.mean()))
        seconds = (time.process_time() - start) / num_seeds
        errors = np.nan_to_num(errors, nan=np.inf)
        median, p90 = (
            float(np.quantile(errors, q, method="inverted_cdf")) for q in (0.5, 0.9)
        )
        yield budget, f"{median:.6g}", f"{p90:.6g}", f"{seconds:.3g}"
        if p90 <= enough:
            return


def _shares(estimator, budget: int, game, num_players: int) -> np.ndarray:
    """The estimate, NaN where there is none: some refuse small budgets."""
    try:
        found = estimator.approximate(budget=budget, game=game)
    except (ValueError, IndexError, ZeroDivisionError, np.linalg.LinAlgError):
        return np.full(num_players, np.nan)
    return np.array([found[(player,)] for player in range(num_players)], float)


def exact_shapley(values: np.ndarray) -> np.ndarray:
    """The Shapley value by definition."""
    num_players = len(values).bit_length() - 1
    members = np.arange(len(values))[:, None] >> np.arange(num_players) & 1
    size = members.sum(axis=1)
    before = np.array(
        [1 / (num_players * math.comb(num_players - 1, s)) for s in range(num_players)]
    )
    joined, absent = np.r_[0.0, before], np.r_[before, 0.0]
    return np.where(members, joined[size, None], -absent[size, None]).T @ values


if __name__ == "__main__":
    main()
