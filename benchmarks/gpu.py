"""What an accelerator does: exact Shapley, streaming in lanes, and the surrogate.

    python -m benchmarks.gpu [--quick] [--largest 24] [--lanes 4096] [--out FOLDER]

The same code as on a CPU, in 32 and in 64 bits, compiled before it is timed. Then the
device's answers are compared with this machine's CPU in 64 bits. Writes `<device>.json`
into the folder (benchmarks/results/accelerator) and prints a table. Needs no data. On a
machine without an accelerator it measures the CPU; `--quick` tries that it runs.
"""

import argparse
import pathlib
import time
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import carbjax as cj
from benchmarks.__main__ import to_markdown, write
from benchmarks._conduct import per_second, states
from benchmarks._inputs import system as make_system
from benchmarks._rows import Row, best_seconds
from carbjax._attribution.enumerated import enumerate_index
from carbjax._attribution.indices import shapley_index
from carbjax._carbon.intensity import Intensity
from carbjax._fleet.fleet import Arrivals, Fleet

_RESULTS = pathlib.Path(__file__).parent / "results" / "accelerator"
_PLAYERS = (16, 20, 24)
_COMPARED_PLAYERS, _COMPARED_REQUESTS = 8, 200
_A_LANE = 1024  # requests of a lane
_RATE = 12.0  # requests a second and lane: all 32 slots are taken
_SLOTS = 32


def main(arguments: list[str] | None = None) -> None:
    """Nothing; the table is on standard output and in the file."""
    parser = argparse.ArgumentParser(description="What an accelerator does.")
    parser.add_argument("--quick", action="store_true", help="sizes of seconds")
    parser.add_argument("--largest", type=int, default=_PLAYERS[-1], help="most players")
    parser.add_argument("--lanes", type=int, default=4096, help="backends at once")
    parser.add_argument("--out", type=pathlib.Path, default=_RESULTS)
    asked = parser.parse_args(arguments)
    players = [n for n in _PLAYERS if n <= asked.largest]
    lanes, each, count = asked.lanes, _A_LANE, 2**24
    if asked.quick:
        players, lanes, each, count = [4], 4, 16, 256
    found = []
    for wide in (False, True):
        with jax.enable_x64(wide):
            found += _surrogate(count)
            for n in players:
                found += _shapley(n)
    with jax.enable_x64(True):
        found += _streaming(lanes, each)
        found += _agreement(quick=asked.quick)
    print(to_markdown(found))
    print(write(found, asked.out, quick=asked.quick))


def _surrogate(count: int) -> Iterator[Row]:
    system = make_system()
    batch = states(count, float)
    compiled = eqx.filter_jit(lambda cost, batch: cost(batch))
    rate = per_second(lambda b: compiled(system.cost, b), batch, count)
    yield Row("surrogate", f"{count:,} states, {_bits()}", rate, "states/s")


def _shapley(num_players: int) -> Iterator[Row]:
    game = cj.ServingGame(_burst(num_players), make_system())
    # Not by blocks, which such requests may fall into.
    seconds = best_seconds(lambda: enumerate_index(game, shapley_index).total, repeats=1)
    yield Row(f"shapley of {num_players}", f"all values, {_bits()}", seconds, "s")


def _streaming(num_lanes: int, each: int) -> Iterator[Row]:
    """A slice of every lane, with the way to the device and back."""
    system = cj.System.load("h200-sxm", "llama-3.1-8b", max_num_seqs=_SLOTS)
    clock = Intensity.constant(400.0).relative(None)
    arrivals = [_lane(i, each) for i in range(num_lanes)]
    seconds = []
    for _ in range(2):  # the first compiles
        fleet = Fleet(system, clock, num_lanes, num_rows=each)
        start = time.perf_counter()
        served = fleet.serve(arrivals, [False] * num_lanes)
        seconds.append(time.perf_counter() - start)
    count = len(served.row)
    yield Row(
        "streaming",
        f"{num_lanes:,} backends, {count:,} requests, {_bits()}",
        count / seconds[-1],
        "requests/s",
    )


def _agreement(*, quick: bool) -> Iterator[Row]:
    """How far this device is from the CPU in 64 bits, in parts of the mean share."""
    compared = {"shapley": _COMPARED_PLAYERS, "streaming": _COMPARED_REQUESTS}
    if quick:
        compared = {"streaming": 20}
    for method, size in compared.items():
        with jax.default_device(jax.devices("cpu")[0]):
            truth = _shares(method, size)
        for wide in (False, True):
            with jax.enable_x64(wide):
                gap = np.abs(_shares(method, size) - truth).max() / truth.mean()
                found = f"{method} of {size}, {_bits()}, largest error"
            yield Row("agreement", found, max(gap, 1e-17), "mean shares")


def _shares(method: str, size: int) -> np.ndarray:
    return cj.attribute(_burst(size), make_system(), method=method).shares


def _burst(count: int) -> cj.Workload:
    """Requests within some seconds, as of a busy server."""
    lane = _lane(count, count)
    return cj.Workload(lane.arrival_s, lane.prefill, lane.decode)


def _lane(seed: int, count: int) -> Arrivals:
    rng = np.random.default_rng(seed)
    return Arrivals(
        np.cumsum(rng.exponential(1 / _RATE, count)),
        np.clip(rng.lognormal(6.3, 1.0, count), 1, 8000).astype(np.int64),
        np.clip(rng.lognormal(5.0, 0.8, count), 1, 1000).astype(np.int64),
    )


def _bits() -> str:
    return f"{jnp.zeros(()).dtype.itemsize * 8} bits"


if __name__ == "__main__":
    main()
