"""Small workloads that can be made smaller still: counter-examples of axioms."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from carbjax._units import INT32_MAX
from carbjax._workload import Workload

_LONGEST_PROMPT, _LONGEST_ANSWER = 4000, 200
_SPAN_S = 0.5


class Request(NamedTuple):
    arrival_s: float
    prefill: int
    decode: int

    @property
    def is_null(self) -> bool:
        return self.prefill == 0 and self.decode == 0


Unit = tuple[Request, ...]
"""All requests of one player."""

Units = tuple[Unit, ...]


def random_units(rng: np.random.Generator, players: int, requests_each: int = 1) -> Units:
    """Lengths of all magnitudes, arrivals so near that most of them overlap."""

    def length(longest: int, least: int) -> int:
        return int(np.exp(rng.uniform(np.log(least), np.log(longest))))

    def request() -> Request:
        arrival_s = round(float(rng.uniform(0, _SPAN_S)), 3)
        return Request(arrival_s, length(_LONGEST_PROMPT, 8), length(_LONGEST_ANSWER, 2))

    return tuple(tuple(request() for _ in range(requests_each)) for _ in range(players))


def units_of(workload: Workload) -> Units:
    """The workload's requests by player, from arrival 0 on."""
    arrival_s = workload.arrival_s - np.nanmin([workload.start_s, 0.0])
    columns = arrival_s, workload.num_prefill_tokens, workload.num_decode_tokens
    requests = [Request(float(a), int(p), int(d)) for a, p, d in zip(*columns, strict=True)]
    return tuple(
        tuple(r for r, who in zip(requests, workload.player, strict=True) if who == i)
        for i in range(workload.num_players)
    )


def to_workload(units: Units, epoch) -> Workload:
    """The players' requests together, each unit a player."""
    requests = [request for unit in units for request in unit]
    player = [i for i, unit in enumerate(units) for _ in unit]
    arrival_s, prefill, decode = zip(*requests, strict=True)
    return Workload(arrival_s, prefill, decode, player, epoch)


def shifted(units: Units, by_s: float) -> Units:
    """The same, later."""
    return tuple(
        tuple(r._replace(arrival_s=r.arrival_s + by_s) for r in unit) for unit in units
    )


def size_of(units: Units) -> tuple[int, int]:
    """Requests, then tokens: what a smaller example has less of."""
    requests = [request for unit in units for request in unit]
    return len(requests), sum(r.prefill + r.decode for r in requests)


def smaller(units: Units, fewest: int) -> Iterator[Units]:
    """Simpler ones, the boldest first: without a player, then with shorter requests."""
    if len(units) > fewest:
        for i in range(len(units)):
            yield units[:i] + units[i + 1 :]
    for i, unit in enumerate(units):
        for j, request in enumerate(unit):
            for simpler in _simpler(request):
                changed = unit[:j] + (simpler,) + unit[j + 1 :]
                yield units[:i] + (changed,) + units[i + 1 :]


def _simpler(request: Request) -> Iterator[Request]:
    _, prefill, decode = request
    for tokens in dict.fromkeys((1, prefill // 8, prefill // 2)):
        if 0 < tokens < prefill <= INT32_MAX:
            yield request._replace(prefill=tokens)
    for tokens in dict.fromkeys((1, decode // 8, decode // 2)):
        if 0 < tokens < decode:
            yield request._replace(decode=tokens)
    if request.arrival_s > 0:
        yield request._replace(arrival_s=0.0)
