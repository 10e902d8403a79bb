"""Error against budget: every estimator of carbjax and shapiq's, on the same games.

    python -m experiments.sample_efficiency [--limit GAMES] [--seeds N] [--out FOLDER]
        [--peer-python PYTHON] [--resume]

Games are of 12 and 16 requests, cut from the Azure conversation trace and served by one
H200, with arrivals as recorded (light), 5 and 30 times as fast. Every coalition is served
once, so the Shapley value is known. An error is that of the worst player, over the mean
share; of 10 seeds the ninth counts. `N_eps` is the budget at which that
falls to eps, between the budgets tried by interpolation of logarithms. Nothing in
carbjax was chosen by these games.

shapiq 1.8 needs Python 3.12 and is no dependency: with `--peer-python` its curves are
measured in that interpreter (shapiq_errors.py) and kept in
`sample_efficiency_peers.csv`; without, they are read from there. Prints tables, writes
`sample_efficiency.csv`, `.png` and `.svg`. The CSV grows game by game: `--resume` keeps
the games that it has.
"""

import argparse
import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

jax.config.update("jax_enable_x64", True)

from rich.progress import track  # noqa: E402

import carbjax as cj  # noqa: E402
from carbjax._estimators.closed_form import ClosedForm, closed_form  # noqa: E402
from carbjax._estimators.control import Control  # noqa: E402
from carbjax._estimators.controls import retiming_for  # noqa: E402
from carbjax._estimators.registry import ESTIMATORS  # noqa: E402
from experiments import (  # noqa: E402
    sample_efficiency_figure,
    sample_efficiency_tables,
    shapiq_errors,
)

_ROOT = pathlib.Path(__file__).parents[1]
_TRACE = pathlib.Path("azure_llm_2023", "AzureLLMInferenceTrace_conv.csv")
_PEERS = "sample_efficiency_peers.csv"
# Where in the trace the cuts begin, by number of requests.
PLACES = {12: (6000, 12000), 16: (4000, 13500)}
# How many times faster the requests arrive than recorded.
LOADS = {"light": 1.0, "medium": 5.0, "heavy": 30.0}
OURS = (
    *(("odd", control) for control in ("closed_form", "none")),
    ("adjusted", "closed_form"),
    ("leverage_shap", "closed_form"),
    ("kernel_shap", "closed_form"),
    ("stratified", "closed_form"),
    ("antithetic", "closed_form"),
    ("sobol", "closed_form"),
    ("permutation", "closed_form"),
)
BUDGETS = (
    4,
    8,
    14,
    20,
    28,
    40,
    56,
    80,
    112,
    160,
    224,
    320,
    448,
    640,
    896,
    1792,
    3584,
    7168,
)
NUM_SEEDS = 10
ENOUGH = 0.01  # a curve ends once it is below this
_CHUNK = 4096  # coalitions served at once
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in shapiq_errors.FIELDS[:4]]
    + [("budget", pa.int64())]
    + [(name, pa.float64()) for name in shapiq_errors.FIELDS[5:]]
)


class StoredControl:
    """A closed form, looked up: it is the same for every seed."""

    name = "closed_form"

    def __init__(self, control: ClosedForm):
        num_players = len(control.shapley())
        values, self._doubts = control.values_and_doubts(all_coalitions(num_players))
        self._values = _as_decode(values[:, :-1].sum(axis=1))
        self._shapley = _as_decode(control.shapley()[:, :-1].sum(axis=1))
        self._doubts_shapley, self.taken = control.doubts_shapley(), control.taken
        self._bits = 1 << np.arange(num_players)

    def values(self, coalitions: np.ndarray) -> np.ndarray:
        return self._values[coalitions @ self._bits]

    def shapley(self) -> np.ndarray:
        return self._shapley

    def values_and_doubts(self, coalitions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.values(coalitions), self._doubts[coalitions @ self._bits]

    def doubts_shapley(self) -> np.ndarray:
        return self._doubts_shapley


class Stored(NamedTuple):
    """A game of which everything is known, in gCO2e, and its controls."""

    name: str
    values: np.ndarray  # 2^n, bit i of the index is player i
    controls: dict[str, Control]  # by retiming
    streaming: np.ndarray

    def control(self, name: str, budget: int, least: int) -> str | Control:
        """What `estimate_shapley` takes by this name."""
        if name != "closed_form":
            return name
        return self.controls[retiming_for(len(self.streaming), budget, least)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Error against budget.")
    parser.add_argument("--limit", type=int, default=None, help="number of games")
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS)
    parser.add_argument("--out", type=pathlib.Path, default=_ROOT / "figures")
    parser.add_argument("--peer-python", help="an interpreter that has shapiq")
    parser.add_argument("--resume", action="store_true", help="keep the CSV's games")
    arguments = parser.parse_args()
    path = trace_path()
    if not path.is_file():
        parser.error(
            f"there is no trace at {path}; set CARBJAX_DATA to the folder that holds "
            f"{_TRACE}."
        )
    cj.enable_compilation_cache()
    games = list(stored_games(cj.read_trace(path, tz="UTC"), arguments.limit))
    arguments.out.mkdir(parents=True, exist_ok=True)
    peers = peer_rows(games, arguments.out / _PEERS, arguments.peer_python, arguments.seeds)
    csv = arguments.out / "sample_efficiency.csv"
    rows = read(csv) if arguments.resume and csv.is_file() else _SCHEMA.empty_table()
    ours = [of_games(rows, games, "carbjax")]
    have = set(ours[0]["game"].to_pylist())
    for game in track([g for g in games if g.name not in have], "games", transient=True):
        ours.append(measure(game, arguments.seeds))
        rows = pa.concat_tables([*ours, peers])
        pa_csv.write_csv(rows, csv, pa_csv.WriteOptions(quoting_style="needed"))
    sample_efficiency_tables.show(rows)
    for written in (csv, *sample_efficiency_figure.write(rows, csv)):
        print(f"wrote {written}")


def trace_path() -> pathlib.Path:
    """Where the trace should lie: in CARBJAX_DATA, else beside the checkout."""
    folder = os.environ.get("CARBJAX_DATA") or _ROOT.parent / "shared" / "data"
    return pathlib.Path(folder) / _TRACE


def stored_games(
    trace: cj.Workload, limit: int | None, places: dict[int, tuple[int, ...]] = PLACES
) -> Iterator[Stored]:
    """The games, one of each size and load before the second of any."""
    system = cj.System.load("h200-sxm", "llama-3.1-8b", policy="chunked_prefill")
    cuts = [
        (f"{size}/{load}/{cut}", first, size, factor)
        for cut in range(max(map(len, places.values())))
        for size, firsts in places.items()
        for first in firsts[cut : cut + 1]
        for load, factor in LOADS.items()
    ]
    for name, first, size, factor in track(cuts[:limit], "games", transient=True):
        part = trace.select(slice(first, first + size))
        arrival_s = (part.arrival_s - part.start_s) / factor
        yield store(
            name,
            cj.Workload(arrival_s, part.num_prefill_tokens, part.num_decode_tokens),
            system,
        )


def store(name: str, workload: cj.Workload, system: cj.System) -> Stored:
    """Serves every coalition."""
    game = cj.ServingGame(workload, system)
    size = workload.num_players
    coalitions = all_coalitions(size)
    values = np.empty(len(coalitions))
    # Chunks advance in lockstep: coalitions of one size take about as many steps.
    order = np.argsort(coalitions.sum(axis=1), kind="stable")
    for start in range(0, len(order), _CHUNK):
        part = order[start : start + _CHUNK]
        values[part] = _evaluate(game, jnp.asarray(coalitions[part]))
    controls: dict[str, Control] = {
        retiming: StoredControl(closed_form(game, retiming=retiming))
        for retiming in ("crowding", "blended")
    }
    return Stored(
        name, values, controls, cj.attribute(workload, system, "streaming").shares
    )


def all_coalitions(num_players: int) -> np.ndarray:
    """Bit i of the index is player i."""
    index = np.arange(2**num_players)[:, None]
    return (index >> np.arange(num_players) & 1).astype(bool)


@eqx.filter_jit
def _evaluate(game: cj.ServingGame, coalitions: jax.Array) -> jax.Array:
    return jax.vmap(game)(coalitions)


def measure(game: Stored, num_seeds: int) -> pa.Table:
    """A row for each estimator and budget, as `shapiq_errors.FIELDS` names them."""
    rows = [_streaming_row(game)]
    for estimator, control in OURS:
        curve = _curve(game, estimator, control, num_seeds)
        rows += [(game.name, "carbjax", estimator, control, *each) for each in curve]
    columns = (list(column) for column in zip(*rows, strict=True))
    return pa.table(dict(zip(_SCHEMA.names, columns, strict=True)), schema=_SCHEMA)


def _streaming_row(game: Stored) -> tuple:
    """It takes the run of everybody and what nobody costs."""
    truth = shapiq_errors.exact_shapley(game.values)
    error = _worst(game.streaming, truth)
    return game.name, "carbjax", "streaming", "none", 2, error, error, 0.0


def _curve(
    game: Stored, estimator: str, control: str, num_seeds: int
) -> Iterator[tuple[int, float, float, float]]:
    truth = shapiq_errors.exact_shapley(game.values)
    table = cj.TableGame(game.values)
    least = ESTIMATORS[estimator].least(len(game.streaming))
    for budget in (b for b in BUDGETS if b < len(game.values)):
        start, errors = time.process_time(), []
        for seed in range(num_seeds):
            try:
                found = cj.estimate_shapley(
                    table,
                    budget=budget,
                    estimator=estimator,
                    control=game.control(control, budget, least),
                    key=jax.random.key(seed),
                )
            except cj.InputError:  # fewer than the estimator needs
                break
            errors.append(_worst(found.shares, truth))
        else:
            seconds = (time.process_time() - start) / num_seeds
            median, p90 = np.quantile(errors, (0.5, 0.9), method="inverted_cdf")
            yield budget, _rounded(median), _rounded(p90), _rounded(seconds)
            if p90 <= ENOUGH:
                return


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")


def _worst(shares: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(shares - truth).max() / abs(truth.mean()))


def peer_rows(
    games: list[Stored], kept: pathlib.Path, python: str | None, num_seeds: int
) -> pa.Table:
    """shapiq's rows for these games, measured if an interpreter is given, else as kept."""
    if python is not None:
        with tempfile.TemporaryDirectory() as folder:
            tables = pathlib.Path(folder) / "games.npz"
            arrays = {game.name: game.values for game in games}
            arrays |= {"budgets": np.array(BUDGETS), "num_seeds": np.array(num_seeds)}
            np.savez(tables, allow_pickle=False, enough=np.array(ENOUGH), **arrays)
            command = [python, shapiq_errors.__file__, str(tables), str(kept)]
            subprocess.run(command, check=True)
    if not kept.is_file():
        print("shapiq was not measured: give --peer-python an interpreter that has it.")
        return _SCHEMA.empty_table()
    return of_games(read(kept), games, "shapiq")


def read(csv: pathlib.Path) -> pa.Table:
    """The rows of a file that this script wrote."""
    return pa_csv.read_csv(csv, convert_options=pa_csv.ConvertOptions(column_types=_SCHEMA))


def of_games(rows: pa.Table, games: list[Stored], library: str) -> pa.Table:
    """The rows of these games and this library."""
    names = {game.name for game in games}
    wanted = [
        row["game"] in names and row["library"].startswith(library)
        for row in rows.to_pylist()
    ]
    return rows.filter(pa.array(wanted, pa.bool_()))


def _as_decode(grams: np.ndarray) -> np.ndarray:
    """As `TableGame` has it: all is operational carbon of decode."""
    columns = np.zeros((*grams.shape, 5))
    columns[..., 1] = grams
    return columns


if __name__ == "__main__":
    main()
