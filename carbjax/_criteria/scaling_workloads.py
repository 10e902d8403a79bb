"""Workloads of which one size alone is varied: players, requests, iterations, tokens."""

import dataclasses
from typing import NamedTuple

import numpy as np

from carbjax._errors import InputError
from carbjax._serving.system import System
from carbjax._workload import Workload

AXES = ("players", "iterations", "tokens", "requests")
_MANY = 2**24  # a cap that binds nothing


class Sized(NamedTuple):
    """Requests and the server that make runs of these sizes."""

    workload: Workload
    system: System
    size: int  # along the axis


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Players C, iterations I, tokens t and requests R of a run."""

    players: int = 4
    iterations: int = 32
    tokens: int = 32768
    requests: int = 4


DEFAULT_POINTS = {
    "players": (1, 9, 12, 14, 100),  # 2^C is told from a power of C by 9 to 14
    "iterations": (8, 32, 128, 800),
    "tokens": (2048, 8192, 32768, 131072, 524288),
    "requests": (4, 72, 128, 1024),  # of three sizes that the engine pads to
}
# Few numbers of requests in all, for each is compiled anew. Where they are not varied they
# are few, for methods that take long, and one a player, as in most workloads: the programs
# of these are then compiled already.
_REST = {
    "players": Sizes(requests=128),
    "iterations": Sizes(),
    "tokens": Sizes(),
    "requests": Sizes(tokens=131072),
}


def sized(axis: str, size: int, system: System) -> Sized:
    """A run with `size` along the axis, and everything else as it is for that axis.

    All requests arrive at once, ask for prompts alone, and belong to the players in turn.
    Chunked prefill reads the prompts in I chunks of t / I tokens, so that each iteration
    is an event: a decode run would be summed in three evaluations however long it is.
    The caps of the scheduler are as wide as that needs. Raises `InputError` for more
    players than requests, requests than tokens, or iterations than tokens.
    """
    sizes = dataclasses.replace(_REST[axis], **{axis: size})
    _require(axis, sizes)
    prompt = np.full(sizes.requests, sizes.tokens // sizes.requests)
    prompt[: sizes.tokens % sizes.requests] += 1
    workload = Workload(
        np.zeros(sizes.requests),
        prompt,
        np.zeros(sizes.requests, int),
        np.arange(sizes.requests) % sizes.players,
    )
    chunk = -(-sizes.tokens // sizes.iterations)
    wide = dataclasses.replace(
        system,
        policy="chunked_prefill",
        max_num_seqs=_MANY,
        max_num_batched_tokens=chunk,
        kv_capacity_tokens=_MANY,
        surrogate=None,
    )
    return Sized(workload, wide, size)


def _require(axis: str, sizes: Sizes) -> None:
    most = sizes.requests if axis == "players" else sizes.tokens
    needed = max(sizes.requests, sizes.iterations)
    if not 1 <= getattr(sizes, axis) <= most or needed > sizes.tokens:
        raise InputError(
            f"{getattr(sizes, axis)} {axis} do not fit in {sizes}.",
            hint="Give at most as many players as requests, and as many iterations and "
            "requests as tokens.",
        )
