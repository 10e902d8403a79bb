"""How far 32-bit floats are from 64-bit ones: values, marginals and shares.

    CARBJAX_DATA=path/to/data python -m benchmarks.precision [--quick] [--out FOLDER]

Requests of the Azure conversation trace (without the data folder: 20 made-up ones),
served by one H200 with Llama-3.1-8B. Everything is computed twice in one process, once
with JAX's 64-bit types enabled. Three tables: games by number of players, streaming by
number of requests, and a few requests that come again after a quiet time, by how long.
Errors are parts of the mean share; docs/precision.md holds the numbers and what they mean.
"""

import argparse
import json
import pathlib
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

import carbjax as cj
from experiments.workbench.inputs import CONVERSATIONS, conversations, data_path

_PLAYERS, _FEW_PLAYERS = (4, 8, 12, 16), (4,)
_REQUESTS, _FEW_REQUESTS = (100, 1000, 5000, 19366), (20,)
_QUIET_S, _SHORT_S = (0.0, 60.0, 600.0, 3600.0, 7200.0), (0.0, 600.0)
_PERIOD = 8  # requests on either side of the quiet time
_AT_ONCE = 4096  # coalitions
_NOTICED = 1e-3  # of the mean share


def main() -> None:
    """Nothing; prints the tables and writes `precision.json`."""
    cj.enable_compilation_cache()
    parser = argparse.ArgumentParser(description="32-bit floats beside 64-bit ones.")
    parser.add_argument("--quick", action="store_true", help="few and small sizes")
    parser.add_argument("--out", type=pathlib.Path, help="folder for precision.json")
    asked = parser.parse_args()
    trace = _trace()
    players, requests, quiet = (_PLAYERS, _REQUESTS, _QUIET_S)
    if asked.quick:
        players, requests, quiet = (_FEW_PLAYERS, _FEW_REQUESTS, _SHORT_S)
    asked_of = {"games": players, "streaming": requests, "quiet": quiet}
    of_one = {"games": of_game, "streaming": of_trace, "quiet": after_quiet}
    tables = {}
    for name, sizes in asked_of.items():
        tables[name] = [of_one[name](trace, size) for size in sizes]
        _show(name, tables[name])
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
        target = asked.out / "precision.json"
        target.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")


def of_game(trace: cj.Workload, num_players: int) -> dict[str, Any]:
    """Errors of all values, all marginals and two methods, with so many players."""

    def values_and_shares() -> tuple[np.ndarray, ...]:
        workload = trace.select(np.arange(trace.num_requests) < num_players)
        system = _system()
        game = cj.ServingGame(workload, system)
        values = _values(game)
        key = jax.random.key(0)
        return values, *(
            cj.attribute(workload, system, method=method, key=key).shares
            for method in ("shapley", "sampled")
        )

    (v32, *found32), (v64, *found64) = _both(values_and_shares)
    mean = (v64[-1] - v64[0]) / num_players
    errors = [np.abs(a - b).max() / mean for a, b in zip(found32, found64, strict=True)]
    marginal = np.abs(_marginals(v32) - _marginals(v64)).max() / mean
    return {
        "players": num_players,
        "value_of_total": float(np.abs(v32 - v64).max() / v64[-1]),
        "marginal": float(marginal),
        "shapley": float(errors[0]),
        "sampled": float(errors[1]),
    }


def of_trace(trace: cj.Workload, num_requests: int) -> dict[str, Any]:
    """Errors of streaming over the first so many requests of the trace."""
    workload = trace.select(np.arange(trace.num_requests) < num_requests)
    hours = float(np.ptp(workload.arrival_s)) / 3600
    return {"requests": num_requests, "hours": hours} | _streaming(workload)


def after_quiet(trace: cj.Workload, seconds: float) -> dict[str, Any]:
    """Errors where a few requests come, and once more after so long a quiet time."""
    few = trace.select(np.arange(trace.num_requests) < _PERIOD)
    later = few.arrival_s - few.arrival_s.min() + float(np.ptp(few.arrival_s)) + seconds
    again = cj.Workload(
        np.concatenate([few.arrival_s - few.arrival_s.min(), later]),
        np.tile(few.num_prefill_tokens, 2),
        np.tile(few.num_decode_tokens, 2),
    )
    return {"quiet_s": seconds} | _streaming(again)


def _streaming(workload: cj.Workload) -> dict[str, float]:
    def shares_and_rest() -> tuple[np.ndarray, ...]:
        found = cj.attribute(workload, _system())
        return found.shares, np.array([found.total, found.residual])

    (shares, whole), (truth, exact) = _both(shares_and_rest)
    errors = np.abs(shares - truth) / truth.mean()
    return {
        "total": float(abs(whole[0] - exact[0]) / exact[0]),
        "residual": float(abs(whole[1]) / whole[0]),
        "median": float(np.median(errors)),
        "percentile_99": float(np.quantile(errors, 0.99)),
        "largest": float(errors.max()),
        "part_noticed": float((errors > _NOTICED).mean()),
    }


def _both(compute: Callable[[], tuple[np.ndarray, ...]]) -> tuple:
    """What comes of it in 32 and in 64 bits."""
    found = []
    for wide in (False, True):
        with jax.enable_x64(wide):
            found.append(tuple(np.asarray(x, float) for x in compute()))
    return tuple(found)


def _values(game: cj.AbstractGame) -> np.ndarray:
    """v of all coalitions; bit i of a coalition's number is player i."""
    count = game.num_players
    numbers = np.arange(2**count).reshape(-1, min(2**count, _AT_ONCE))
    of_many = eqx.filter_jit(lambda game, members: jax.vmap(game)(members))
    members = (numbers[..., None] >> np.arange(count)) & 1 == 1
    return np.concatenate([np.asarray(of_many(game, m)) for m in members])


def _marginals(values: Float[np.ndarray, " coalitions"]) -> np.ndarray:
    """v with a player minus v without, for all players and coalitions of others."""
    count = len(values).bit_length() - 1
    masks = np.arange(len(values))
    without = [masks[(masks >> i) & 1 == 0] for i in range(count)]
    return np.stack([values[m | (1 << i)] - values[m] for i, m in enumerate(without)])


def _system() -> cj.System:
    return cj.System.load("h200-sxm", "llama-3.1-8b")


def _trace() -> cj.Workload:
    if data_path(CONVERSATIONS).is_file():
        return conversations()
    return _made_up()


def _made_up() -> cj.Workload:
    rng = np.random.default_rng(0)
    return cj.Workload(
        np.sort(rng.uniform(0, 2, 20)), rng.integers(50, 3000, 20), rng.integers(5, 500, 20)
    )


def _show(name: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=name)
    for column in rows[0]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.3g}" for value in row.values()))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
