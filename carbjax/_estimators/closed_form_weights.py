"""Weights that make Shapley values of functions of two counts: hypergeometric."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

Counts = Int[np.ndarray, " cells"]
Weights = Float[np.ndarray, " cells"]


@dataclasses.dataclass(frozen=True)
class CellWeights:
    """What a cell adds to Shapley values: of a prefill, a decode, somebody else.

    `mean_*` times G(a, b), the value of a batch of mean participants; `deviation_*`
    times the slope there in the direction in which the participant deviates.
    """

    mean_prefill: Weights
    deviation_prefill: Weights
    mean_decode: Weights
    deviation_decode: Weights
    outsider: Weights


def cell_weights(
    a: Counts,
    b: Counts,
    num_prefills: Counts,
    num_decodes: Counts,
    *,
    counted: Weights,
    outsiders: Weights,
) -> CellWeights:
    """Weights of the game `m(S) f(S)`.

    f(S) = G(a, b) + slope(a, b) . sum of the deviations of who is in S, which are 0 in
    sum over each class. m(S) is `counted`, a function of a and b, plus how many of the
    `outsiders`, of whom f knows nothing, are in S. Shapley's weight of a set of a
    prefills and b decodes that comes before a prefill is
    `C(P-1, a) C(D, b) / (n C(n-1, a+b))`, n = P + D; the mean deviation of such sets is
    `-a deviation / (P - 1)`, that of the prefill itself being `deviation`.
    """

    def of_class(c, other, size, others) -> tuple[Weights, Weights]:
        mean, deviation = np.zeros(len(c)), np.zeros(len(c))
        for extra, factor in ((0, counted), (1, outsiders)):
            joins = _before(c - 1, other, size - 1, others, extra)
            stays = _before(c, other, size - 1, others, extra)
            rest = np.maximum(size - 1, 1)
            mean += factor * (joins - stays)
            deviation += factor * (joins * (1 - (c - 1) / rest) + stays * c / rest)
        return mean, np.where(size > 1, deviation, 0.0)

    mean_prefill, deviation_prefill = of_class(a, b, num_prefills, num_decodes)
    mean_decode, deviation_decode = of_class(b, a, num_decodes, num_prefills)
    return CellWeights(
        mean_prefill=mean_prefill,
        deviation_prefill=deviation_prefill,
        mean_decode=mean_decode,
        deviation_decode=deviation_decode,
        outsider=_before(a, b, num_prefills, num_decodes, 0),
    )


def _before(c: Counts, other: Counts, size: Counts, others: Counts, extra: int) -> Weights:
    """Chance that just c of `size` and `other` of `others` come before a player.

    And `extra` certain players, 0 or 1. All these and the player come in random order.
    """
    inside = (c >= 0) & (c <= size)
    c = np.where(inside, c, 0)
    size = np.maximum(size, 0)
    total = size + others + extra
    log = log_binomial(size, c) + log_binomial(others, other)
    log = log - log_binomial(total, c + other + extra) - np.log(total + 1.0)
    return np.where(inside, np.exp(log), 0.0)


def log_binomial(n: Counts, k: Counts) -> Weights:
    """log C(n, k), elementwise, for 0 <= k <= n."""
    largest = int(np.max(n, initial=0))
    table = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, largest + 1)))])
    return table[n] - table[k] - table[n - k]
