"""When a block's run ends at the latest, whichever of its requests are served."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._games.block_game import Block
from carbjax._games.serving import ServingGame
from carbjax._serving.buckets import power_of_two
from carbjax._surrogate.cost import AbstractIterationCost
from carbjax._surrogate.features import BatchFeatures

_FEWEST = 16  # batches
_ROUNDING = 1e-6  # relative: sums of latencies over a decode run (docs/semantics.md)


def latest_ends(game: ServingGame, blocks: list[Block]) -> Float[np.ndarray, " blocks"]:
    """No coalition of a block's players ends after this, s; infinite where unknown.

    Holds where an iteration's latency never falls as its batch grows in any feature. No
    coalition's last arrival is after the block's; after it, at most one iteration is
    under way, what prompts are left take so many iterations, and the longest answer so
    many decodes, each as long as the largest batch that could be (docs/structure.md).
    Unknown where the block's requests do not all fit at once: then some wait for seats.
    """
    work = [_work(game, block) for block in blocks]
    mixed = _latencies(game.server.cost, [w.mixed for w in work])
    decode = _latencies(game.server.cost, [w.decode for w in work])
    busy = [
        w.num_mixed * longest + w.num_decode * shorter
        for w, longest, shorter in zip(work, mixed, decode, strict=True)
    ]
    return np.array([w.last_arrival for w in work]) + np.array(busy) * (1 + _ROUNDING)


class _Work(NamedTuple):
    """What is left after a block's last arrival, at most."""

    last_arrival: float
    num_mixed: float  # iterations in which prompts may be read
    num_decode: float  # iterations of decodes alone
    mixed: list[float]  # features of the largest batch of each
    decode: list[float]


def _work(game: ServingGame, block: Block) -> _Work:
    slots = block.requests
    prefill, decode = np.asarray(game.prefill)[slots], np.asarray(game.decode)[slots]
    caps = game.server.caps
    seats, budget = int(caps.max_num_seqs), int(caps.max_num_batched_tokens)
    number, size = len(slots), prefill + decode
    fits = number <= seats and size.sum() <= int(caps.kv_capacity_tokens)
    need = float(np.maximum(prefill, 1).sum())
    tokens = float(min(prefill.sum(), max(budget, prefill.max())))
    answers = float(max(decode.max() - 1, 0))
    running = [number, float(size.sum()), float((size.astype(float) ** 2).sum())]
    pairs = float((prefill * (prefill + 1.0) / 2).sum())
    reading = [pairs, float(prefill.sum())]
    last = float(np.asarray(game.arrival)[slots].max())
    in_decode = [number, number, 0.0, 0.0, *running]
    if game.server.policy == "chunked_prefill":
        room = budget - number
        chunks = np.ceil(need / room) if room > 0 else np.inf
        largest = [tokens + number, number, *reading, *running]
        work = _Work(last, 1 + chunks, answers, largest, in_decode)
    else:
        # Of two prompt iterations in a row, the second did not fit into the first.
        prompts = 1 + 2 * need // budget
        rounds = 1 + prompts if game.server.policy == "static" else 1
        under_way = [max(tokens, number), number, *reading, *running]
        work = _Work(last, 1 + prompts, rounds * answers, under_way, in_decode)
    return work if fits else work._replace(num_mixed=np.inf)


def _latencies(
    cost: AbstractIterationCost, features: list[list[float]]
) -> Float[np.ndarray, " rows"]:
    size = power_of_two(len(features), least=_FEWEST)  # so that few sizes are compiled
    rows = np.pad(np.array(features), ((0, size - len(features)), (0, 0)))
    columns = [jnp.asarray(column, float) for column in rows.T]
    return np.asarray(_latency(cost, BatchFeatures(*columns)))[: len(features)]


@eqx.filter_jit
def _latency(cost: AbstractIterationCost, features: BatchFeatures) -> Float[Array, " rows"]:
    return cost(features)[0]
