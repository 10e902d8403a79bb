"""Small workloads cut from a long trace."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from carbjax._criteria.incentive_curve import compress
from carbjax._errors import InputError
from carbjax._workload import Workload


class Cut(NamedTuple):
    """Neighbouring requests of a trace, arriving `load` times as fast as recorded."""

    workload: Workload
    load: float
    description: str


def cut_workloads(
    trace: Workload,
    count: int,
    *,
    num_requests: int = 12,
    loads: Sequence[float] = (1.0,),
    seed: int = 0,
) -> list[Cut]:
    """`count` cuts of `num_requests` neighbours at random places, each request a player.

    The loads take turns, so that each has as many cuts, give or take one. A cut is the
    same however many there are. All have one size, so a program is compiled once. Raises
    `InputError` for a trace that is too short, or a load that is not above 0.
    """
    if not 1 <= num_requests <= trace.num_requests:
        raise InputError(
            f"a cut of {num_requests} requests does not fit in a trace of "
            f"{trace.num_requests}.",
            hint="Give fewer, at least one.",
        )
    if count < 1 or not len(loads):
        raise InputError("no workload is asked for.", hint="Give a count and a load.")
    ordered = _in_order(trace)
    return [
        _cut(ordered, k, num_requests, float(loads[k % len(loads)]), seed)
        for k in range(count)
    ]


def _in_order(trace: Workload) -> Workload:
    """By arrival and without labels, which would only make equal shapes different."""
    order = np.argsort(trace.arrival_s, kind="stable")
    return Workload(
        trace.arrival_s[order],
        trace.num_prefill_tokens[order],
        trace.num_decode_tokens[order],
        epoch=trace.epoch,
    )


def _cut(trace: Workload, k: int, num_requests: int, load: float, seed: int) -> Cut:
    last = trace.num_requests - num_requests
    first = int(np.random.default_rng((seed, k)).integers(last + 1))
    part = trace.select(slice(first, first + num_requests))
    speed = "as recorded" if load == 1 else f"arriving {load:g} times as fast"
    place = f"requests {first} to {first + num_requests - 1}"
    return Cut(compress(part, load), load, f"{place}, {speed}")
