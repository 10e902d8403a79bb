"""Batch features of recorded iterations, from who took part: whole numbers, exact."""

import dataclasses

import numpy as np
from jaxtyping import Int

from carbjax._attribution.recorded_tables import Chunks, Runs
from carbjax._surrogate.features import BatchFeatures

FEATURES = tuple(field.name for field in dataclasses.fields(BatchFeatures))
NAMES = (*FEATURES, "num_requests")
_OF_DECODES = ("decode_tokens", "decode_kv", "decode_kv_sq")


@dataclasses.dataclass(frozen=True)
class Iterations:
    """Sums over the participants of each iteration, `" iterations"`."""

    of_chunks: dict[str, Int[np.ndarray, " iterations"]]
    of_decodes: dict[str, Int[np.ndarray, " iterations"]]
    num_chunks: Int[np.ndarray, " iterations"]

    @property
    def num_requests(self) -> Int[np.ndarray, " iterations"]:
        return self.num_chunks + self.of_decodes["decode_tokens"]

    def column(self, name: str) -> Int[np.ndarray, " iterations"]:
        """A column of `NAMES`."""
        if name == "num_requests":
            return self.num_requests
        return self.of_chunks[name] + self.of_decodes[name]


def iterations_of(chunks: Chunks, runs: Runs, number: int) -> Iterations:
    """Features of each of `number` iterations, in O(iterations + chunks + runs)."""
    none = np.zeros(number, np.int64)

    def by_iteration(values: np.ndarray) -> np.ndarray:
        return _bincount(chunks.iteration, values, number)

    tokens, cached = chunks.tokens, chunks.cached
    count, kv, kv_sq = _decode_sums(runs, number)
    return Iterations(
        of_chunks=dict(
            dict.fromkeys(_OF_DECODES, none),
            num_tokens=by_iteration(tokens),
            num_sequences=by_iteration(chunks.ends_prompt.astype(np.int64)),
            prefill_pairs=by_iteration(tokens * cached + tokens * (tokens + 1) // 2),
            prefill_kv=by_iteration(cached + tokens),
        ),
        of_decodes=dict(
            num_tokens=count,
            num_sequences=count,
            prefill_pairs=none,
            prefill_kv=none,
            decode_tokens=count,
            decode_kv=kv,
            decode_kv_sq=kv_sq,
        ),
        num_chunks=by_iteration(np.ones_like(tokens)),
    )


def _decode_sums(runs: Runs, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, contexts and squared contexts of the decodes in each iteration.

    From an iteration to the next, those who go on read one token more: k^2 grows by
    2 k + 1. So sums never hold more than the feature itself, and stay exact.
    """
    context, last = runs.context, runs.context + runs.length - 1
    gone = runs.first + runs.length
    joins, leaves = (
        [_bincount(at, k**power, number + 1)[:number] for power in range(3)]
        for at, k in ((runs.first, context), (gone, last))
    )
    count = np.cumsum(joins[0] - leaves[0])
    goes_on = np.concatenate([[0], count[:-1]]) - leaves[0]
    kv = np.cumsum(joins[1] - leaves[1] + goes_on)
    kv_goes_on = np.concatenate([[0], kv[:-1]]) - leaves[1]
    kv_sq = np.cumsum(joins[2] - leaves[2] + 2 * kv_goes_on + goes_on)
    return count, kv, kv_sq


def _bincount(place: np.ndarray, values: np.ndarray, number: int) -> np.ndarray:
    """As `numpy.bincount` with weights, in whole numbers."""
    sums = np.zeros(number, np.int64)
    np.add.at(sums, place, values)
    return sums
