"""A ledger from Parquet to Parquet, beside what pyarrow alone takes for the same files."""

import os
import pathlib
import tempfile
import time
from collections.abc import Iterator

import pyarrow.dataset as ds
import pyarrow.parquet as pq

import carbjax as cj
from benchmarks._rows import Row
from benchmarks.ledger import Synthetic, _write
from carbjax._ledger.workers import set_up_worker

_BACKENDS, _SLOTS, _TENANTS = 128, 32, 100
_REQUESTS, _FEW_REQUESTS = 400_000, 512
_QUICK_BACKENDS = 2


def rows(quick: bool) -> Iterator[Row]:
    """Requests a second, the start left out: two lengths, and what the longer adds."""
    backends = _QUICK_BACKENDS if quick else _BACKENDS
    count = _FEW_REQUESTS if quick else _REQUESTS
    workers = 1 if quick else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        _seconds(root / "compiling", backends, count // 8, workers)
        short = _seconds(root / "short", backends, count // 8, workers)
        long = _seconds(root / "long", backends, count, workers)
        reading = _reading_s(root / "long" / "fleet")
        alone = reading + _rewriting_s(root / "long" / "ledger", root / "copy")
    added = long - short if long > short else long  # a quick run tells nothing
    found = count * 7 / 8 / added
    yield Row(
        path="ledger",
        measured=f"Parquet to Parquet, {count:,} requests, {backends} backends, "
        f"{workers} processes, {long:.1f} s with {short:.1f} s for an eighth",
        value=found,
        unit="requests/s",
        peer="pyarrow reading the requests",
        ratio=found * reading / count,
        limit="memory traffic: pyarrow reading and writing the same files",
        of_limit=alone * 7 / 8 / added,
    )


def _seconds(folder: pathlib.Path, backends: int, count: int, workers: int) -> float:
    """Of a whole ledger of `count` requests, whose files stay in `folder`."""
    set_up_worker()
    system = cj.System.load("h200-sxm", "llama-3.1-8b", max_num_seqs=_SLOTS)
    for i in range(backends):
        backend = Synthetic(f"backend-{i:05d}", i, count // backends, _TENANTS)
        _write(backend, folder / "fleet", False)
    found = cj.find_backends([folder / "fleet"])
    start = time.perf_counter()
    cj.make_ledger(found, system, folder / "ledger", workers=workers)
    return time.perf_counter() - start


def _reading_s(folder: pathlib.Path) -> float:
    start = time.perf_counter()
    ds.dataset(folder, format="parquet").to_table()
    return time.perf_counter() - start


def _rewriting_s(folder: pathlib.Path, target: pathlib.Path) -> float:
    """Of writing the tables of a ledger once more."""
    target.mkdir()
    tables = [pq.read_table(path) for path in sorted(folder.rglob("*.parquet"))]
    start = time.perf_counter()
    for i, table in enumerate(tables):
        pq.write_table(table, target / f"{i}.parquet")
    return time.perf_counter() - start
