"""Parquet of few rows, and what a ledger reads of it."""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

import carbjax as cj
from carbjax._ledger.feed import Feed
from carbjax._ledger.inspection import Inspector
from carbjax._ledger.repeats import find_repeats


def table(*arrival_s: float, **columns) -> pa.Table:
    """Requests that came at these seconds."""
    count = len(arrival_s)
    known = {
        "arrival": pa.array(arrival_s, pa.float64()),
        "prompt_tokens": pa.array([10] * count, pa.int64()),
        "decode_tokens": pa.array([5] * count, pa.int64()),
    }
    return pa.table(known | columns)


def write(path: pathlib.Path, *arrival_s: float, **columns) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(*arrival_s, **columns), path)
    return path


def feed_of(*sources, **asked) -> Feed:
    (backend,) = cj.find_backends(sources, **asked)
    inspector = Inspector(backend, find_repeats(backend), most_tokens=2**40)
    return Feed(inspector, 0, 4, -float("inf"))
