"""Coalitions a second: the vectorised engine beside a per-iteration simulator.

Exact Shapley of the first requests of the Azure conversation trace, compiled before. All
coalitions are run, though `cj.shapley` would take games apart that allow it. The
limit is a loop of as many trips that asks the surrogate for the same prices and does
nothing else: coalitions of a chunk advance in lockstep, so a chunk takes as many trips as
its slowest.
"""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import carbjax as cj
from benchmarks._inputs import requests, system as make_system
from benchmarks._limits import trip_s
from benchmarks._rows import Row, best_seconds
from benchmarks._simulator import Simulator
from carbjax._attribution.enumerated import enumerate_index
from carbjax._attribution.indices import shapley_index
from carbjax._games.lattice import Lattice
from carbjax._serving.continuous import StepCount
from carbjax._serving.queue import make_queue
from carbjax._serving.run import run

_SIZES, _FEW_SIZES = (8, 12, 16, 20), (4,)
_SIMULATED = 24  # coalitions that the simulator serves
_CHUNK = 4096  # coalitions that carbjax evaluates at once
_COUNTED = 16  # chunks whose trips are counted, spread over all


def rows(quick: bool) -> Iterator[Row]:
    """Coalitions a second for exact Shapley of so many players."""
    system = make_system()
    for players in _FEW_SIZES if quick else _SIZES:
        workload = requests(players)
        game = cj.ServingGame(workload, system)
        repeats = 1 if quick or players > 16 else 3
        seconds = best_seconds(
            lambda game=game: enumerate_index(game, shapley_index), repeats=repeats
        )
        found = 2**players / seconds
        simulator = Simulator(workload, system)
        lanes = min(_CHUNK, 2**players)
        alone = _num_trips(game) * trip_s(system, lanes)
        yield Row(
            path="coalitions",
            measured=f"exact Shapley, {players} players, {seconds:.2f} s",
            value=found,
            unit="coalitions/s",
            peer="per-iteration simulator",
            ratio=found / simulator.coalitions_per_s(2 if quick else _SIMULATED),
            limit="arithmetic: the cost alone, as many trips",
            of_limit=alone / seconds,
        )


def _num_trips(game: cj.ServingGame) -> float:
    """Trips of all chunks' loops together, estimated from some of them."""
    lattice = Lattice(game.kinds)
    chunks = list(lattice.chunks(min(_CHUNK, lattice.num_coalitions)))
    counted = chunks[:: max(1, len(chunks) // _COUNTED)]
    trips = [int(_steps(game, _members(lattice, chunk)).max()) for chunk in counted]
    return float(np.mean(trips)) * len(chunks)


def _members(lattice: Lattice, numbers: np.ndarray) -> np.ndarray:
    counts = lattice.counts(jnp.asarray(np.maximum(numbers, 0)))
    return np.asarray(lattice.coalitions(counts))


@eqx.filter_jit
def _steps(game: cj.ServingGame, coalitions):
    """Steps that each coalition takes, proposals that were rejected among them."""

    def of_one(coalition):
        present = coalition[game.player]
        queue = make_queue(present, game.arrival, game.prefill, game.decode)
        _, (account,) = run(queue, game.server, (StepCount(),))
        return account.totals

    return jax.vmap(of_one)(jnp.asarray(coalitions))
