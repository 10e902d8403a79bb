"""Ledgers at provider scale: requests a second, memory, and how both grow.

    python -m benchmarks.ledger [--requests N] [--backends N] [--slots N] [--workers N]
        [--tenants N] [--parquet] [--ids] [--market] [--engine-only]

Synthetic requests (prompts and answers lognormal, medians 540 and 150 tokens, Poisson
arrivals that load a server to its last slot) on H200s serving Llama-3.1-8B. With
`--engine-only` neither rows are made nor files written; with `--parquet` the requests
are read from Parquet too, with `--ids` under names that must not repeat; else they are
drawn as they are needed. `--market` counts bought electricity by a series of half hours.
Prints one line.
"""

import argparse
import concurrent.futures
import dataclasses as dc
import functools as ft
import multiprocessing
import pathlib
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import carbjax as cj
from carbjax._fleet.fleet import Arrivals, Fleet
from carbjax._ledger.columns import REQUESTS
from carbjax._ledger.workers import set_up_worker
from carbjax._units import MICROSECONDS_PER_SECOND, SECONDS_PER_HOUR

_EPOCH_S = 1_700_000_000.0
_RATE = 12.0  # requests a second and backend
_BLOCK = 4096  # requests drawn at once


@dc.dataclass(frozen=True)
class Synthetic:
    """A backend whose requests are drawn as they are asked for, always the same ones."""

    name: str
    number: int
    num_requests: int
    num_tenants: int
    has_calendar: bool = True
    inputs: tuple[str, ...] = ()
    model: str | None = None
    rejects: bool = False

    def batches(self, skip: int, size: int) -> Iterator[pa.Table]:
        """See `carbjax._ledger.backends.Backend`."""
        for block in range(skip // _BLOCK, -(-self.num_requests // _BLOCK)):
            first = block * _BLOCK
            table = self._block(block, min(_BLOCK, self.num_requests - first))
            yield table.slice(max(skip - first, 0))

    def _block(self, block: int, count: int) -> pa.Table:
        rng = np.random.default_rng((self.number, block))
        # A block takes its time whatever its draws, so that it can be made alone.
        gaps = rng.exponential(1.0, _BLOCK + 1)
        places = np.cumsum(gaps)[:-1] / gaps.sum()
        arrival = _EPOCH_S + (block + places[:count]) * (_BLOCK / _RATE)
        prompt = np.clip(rng.lognormal(6.3, 1.0, _BLOCK), 1, 8000)[:count]
        decode = np.clip(rng.lognormal(5.0, 0.8, _BLOCK), 1, 1000)[:count]
        tenant = rng.integers(0, self.num_tenants, _BLOCK)[:count]
        return pa.Table.from_arrays(
            [
                pa.nulls(count, pa.string()),
                _tenants(self.num_tenants).take(pa.array(tenant)),
                pa.array(arrival),
                pa.array(prompt.astype(np.int64)),
                pa.array(decode.astype(np.int64)),
            ],
            schema=REQUESTS,
        )


@ft.cache
def _tenants(count: int) -> pa.Array:
    return pa.array([f"tenant-{i}" for i in range(count)])


def main() -> None:
    """Nothing; one line on standard output."""
    parser = argparse.ArgumentParser(description="Ledgers at provider scale.")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--backends", type=int, default=128)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parquet", action="store_true")
    parser.add_argument("--ids", action="store_true")
    parser.add_argument("--market", action="store_true")
    parser.add_argument("--engine-only", action="store_true")
    asked = parser.parse_args()
    set_up_worker()
    each = -(-asked.requests // asked.backends)
    backends = [
        Synthetic(f"backend-{i:05d}", i, each, asked.tenants) for i in range(asked.backends)
    ]
    if asked.engine_only:
        seconds, cpu_s = _engines(backends, asked.slots, asked.workers)
    else:
        seconds, cpu_s = _ledger(backends, asked)
    count = each * asked.backends
    peak = max(u.ru_maxrss for u in _usage()) / 2**10
    print(
        f"{count:,} requests, {asked.backends} backends, {asked.slots} slots, "
        f"{asked.tenants} tenants: {seconds:.1f} s, {count / seconds:,.0f} requests/s, "
        f"{cpu_s / count * 1e6:.1f} CPU us a request, largest process {peak:,.0f} MiB"
    )


def _usage() -> list[resource.struct_rusage]:
    """Of this process, and of those that it started and that ended."""
    return [
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]


def _cpu_s() -> float:
    return sum(u.ru_utime + u.ru_stime for u in _usage())


def _engines(backends: list[Synthetic], slots: int, workers: int) -> tuple[float, float]:
    """Seconds and CPU seconds of serving and attribution alone, compiled before."""
    shares = [backends[i::workers] for i in range(workers)]
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(workers)
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, _meet_at, (ready,)
    ) as pool:
        found = list(pool.map(_engine, shares, [slots] * workers))
    return max(seconds for seconds, _ in found), sum(cpu_s for _, cpu_s in found)


_ready: Any = None


def _meet_at(ready: Any) -> None:
    global _ready
    _ready = ready
    set_up_worker()


def _engine(backends: list[Synthetic], slots: int) -> tuple[float, float]:
    """Seconds and CPU seconds that one process takes once all have compiled."""
    system = _system(slots)
    clock = system.carbon_intensity.relative(None)
    fleet = Fleet(system, clock, len(backends), num_rows=_BLOCK)
    parts = [list(backend.batches(0, _BLOCK)) for backend in backends]
    rounds = max(len(part) for part in parts)

    def arrivals(i: int) -> list[Arrivals]:
        names = "arrival_s", "prompt_tokens", "decode_tokens"
        tables = ([part[i][name].to_numpy() for name in names] for part in parts)
        return [Arrivals(arrival - _EPOCH_S, p, d) for arrival, p, d in tables]

    state = fleet.state()
    fleet.serve([x[:8] for x in arrivals(0)], [False] * len(backends))
    fleet.restore(state)
    _ready.wait()
    start, start_cpu = time.perf_counter(), time.process_time()
    for i in range(rounds):
        fleet.serve(arrivals(i), [i + 1 < rounds] * len(backends))
    return time.perf_counter() - start, time.process_time() - start_cpu


def _system(slots: int) -> cj.System:
    return cj.System.load("h200-sxm", "llama-3.1-8b", max_num_seqs=slots)


def _ledger(backends: list[Synthetic], asked: argparse.Namespace) -> tuple[float, float]:
    """Seconds and CPU seconds of a whole ledger, compilation included."""
    system = _system(asked.slots)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch, "ledger")
        found = backends
        if asked.parquet:
            source = pathlib.Path(scratch, "fleet")
            for backend in backends:
                _write(backend, source, asked.ids)
            found = cj.find_backends([source])
        start, start_cpu = time.perf_counter(), _cpu_s()
        ledger = cj.make_ledger(
            found,
            system,
            folder,
            workers=asked.workers,
            market_intensity=_market(backends) if asked.market else None,
        )
        seconds, cpu_s = time.perf_counter() - start, _cpu_s() - start_cpu
        size = sum(f.stat().st_size for f in folder.rglob("*.parquet"))
        print(f"residual {ledger.manifest['residual']}, {size / 2**20:,.0f} MiB written")
        shutil.rmtree(folder)
    return seconds, cpu_s


def _market(backends: list[Synthetic]) -> cj.Intensity:
    """A series of half hours that covers the requests, and what follows them."""
    count = 2 + int(2 * backends[0].num_requests / _RATE / SECONDS_PER_HOUR * 1.5) + 4
    edges = _EPOCH_S + SECONDS_PER_HOUR / 2 * np.arange(-1, count)
    return cj.Intensity(edges, 20.0 + np.arange(count) % 7)


def _write(backend: Synthetic, folder: pathlib.Path, with_ids: bool) -> None:
    """The backend's requests as a Parquet file of their own."""
    table = pa.concat_tables(backend.batches(0, _BLOCK))
    stamps = np.round(table["arrival_s"].to_numpy() * MICROSECONDS_PER_SECOND).astype(
        np.int64
    )
    arrival = pa.array(stamps).cast(pa.timestamp("us", "UTC"))
    table = table.drop_columns(["arrival_s", "request_id"]).append_column(
        "arrival", arrival
    )
    if with_ids:
        ids = [f"chatcmpl-{backend.number:08d}-{i:016d}" for i in range(table.num_rows)]
        table = table.append_column("request_id", pa.array(ids))
    target = folder / f"backend={backend.name}"
    target.mkdir(parents=True)
    pq.write_table(table, target / "0.parquet")


if __name__ == "__main__":
    main()
