"""What a benchmark says of a hot path, and how it is timed."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Row(NamedTuple):
    """One measurement, its peer in the same run, and what bounds it."""

    path: str
    measured: str  # what, at which size
    value: float
    unit: str
    peer: str = ""  # empty where there is none
    ratio: float | None = None  # how many times better than the peer
    limit: str = ""  # what the best possible would be bound by
    of_limit: float | None = None  # part of that limit reached, at most about 1


def best_seconds(call: Callable[[], Any], *, repeats: int = 3) -> float:
    """Wall seconds of the quickest of some calls, the first (which compiles) left out."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return min(seconds)
