"""Weights that make Shapley values of functions of two counts: hypergeometric."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

Counts = Int[np.ndarray, " cells"]
Weights = Float[np.ndarray, "*games cells"]
Terms = list[tuple[Weights, int]]
"""Factors, and how many certain players come before besides a cell's."""
Chance = Callable[[Counts, Counts, Counts, Counts, int], Float[np.ndarray, " cells"]]
"""Of c of a size, so many of the others, and so many certain players, as `_before`."""


@dataclasses.dataclass(frozen=True)
class CellWeights:
    """What a cell adds to Shapley values: of a prefill, a decode, somebody else.

    `mean_*` times G(a, b), the value of a batch of mean participants; `deviation_*`
    times the slope there in the direction in which the participant deviates. `outsider`
    and `absentee` times G(a, b): of others who are counted, and of who must be absent.
    """

    mean_prefill: Weights
    deviation_prefill: Weights
    mean_decode: Weights
    deviation_decode: Weights
    outsider: Weights
    absentee: Weights

    def of_game(self, game: int) -> "CellWeights":
        """Of one of several games."""
        fields = dataclasses.fields(self)
        return CellWeights(*(getattr(self, field.name)[game] for field in fields))


def cell_weights(
    a: Counts,
    b: Counts,
    num_prefills: Counts,
    num_decodes: Counts,
    *,
    rises: Float[np.ndarray, "*games 3 cells"],
    outsiders: Counts,
    someone_absent: bool = False,
) -> CellWeights:
    """Weights of the games `h(k) f(S)`, which are 0 where a certain player comes.

    f(S) = G(a, b) + slope(a, b) . sum of the deviations of who is in S, which are 0 in
    sum over each class. k counts the a + b and who of the `outsiders`, of whom f knows
    nothing, is in S; h is a polynomial of degree 2, and `rises` are h(a + b) and its first
    and second difference. With j outsiders in S

        h(a + b + j) = sum over q of (the q-th difference) C(j, q),

    and C(j, q) counts the sets of q outsiders that are all in S. Shapley's weight of a set
    of a prefills and b decodes that comes before a prefill is
    `C(P-1, a) C(D, b) / (n C(n-1, a+b))`, n = P + D; the mean deviation of such sets is
    `-a deviation / (P - 1)`, that of the prefill itself being `deviation`.
    """
    before = _before_absentee if someone_absent else _before
    terms = [(rises[..., q, :] * ways, q) for q, ways in _sets(outsiders)]
    cells = (a, b, num_prefills, num_decodes)
    swapped = (b, a, num_decodes, num_prefills)
    mean_prefill, deviation_prefill = _of_class(terms, before, *cells)
    mean_decode, deviation_decode = _of_class(terms, before, *swapped)
    # What one more adds to h is its difference, whose second difference is 0.
    later = [(rises[..., q + 1, :] * w, q) for q, w in _sets(outsiders - 1)[:2]]
    return CellWeights(
        mean_prefill=mean_prefill,
        deviation_prefill=deviation_prefill,
        mean_decode=mean_decode,
        deviation_decode=deviation_decode,
        outsider=_of_other(later, before, *cells),
        absentee=-_of_other(terms, _before, *cells),
    )


def _of_class(
    terms: Terms, before: Chance, c: Counts, other: Counts, size: Counts, others: Counts
) -> tuple[Weights, Weights]:
    """Of one of the c of `size` in a cell: times G, and times the slope along it."""
    mean, deviation = (np.zeros(terms[0][0].shape) for _ in range(2))
    rest = np.maximum(size - 1, 1)
    for factor, certain in terms:
        if not factor.any():
            continue
        joins = before(c - 1, other, size - 1, others, certain)
        stays = before(c, other, size - 1, others, certain)
        mean += factor * (joins - stays)
        deviation += factor * (joins * (1 - (c - 1) / rest) + stays * c / rest)
    return mean, np.where(size > 1, deviation, 0.0)


def _of_other(
    terms: Terms, chance: Chance, c: Counts, other: Counts, size: Counts, others: Counts
) -> Weights:
    """Of a player who takes part in nothing."""
    total = np.zeros(terms[0][0].shape)
    for factor, certain in terms:
        if factor.any():
            total += factor * chance(c, other, size, others, certain)
    return total


def _sets(outsiders: Counts) -> list[tuple[int, Float[np.ndarray, " cells"]]]:
    """How many sets of 0, 1 and 2 outsiders there are."""
    number = np.maximum(outsiders, 0).astype(float)
    return list(enumerate((number**0, number, number * (number - 1) / 2)))


def _before(
    c: Counts, other: Counts, size: Counts, others: Counts, certain: int
) -> Float[np.ndarray, " cells"]:
    """Chance that just c of `size` and `other` of `others` come before a player.

    And so many `certain` players. All these and the player come in random order.
    """
    inside = (c >= 0) & (c <= size)
    c = np.where(inside, c, 0)
    size = np.maximum(size, 0)
    total = size + others + certain
    log = _log_binomial(size, c) + _log_binomial(others, other)
    log = log - _log_binomial(total, c + other + certain) - np.log(total + 1.0)
    return np.where(inside, np.exp(log), 0.0)


def _before_absentee(
    c: Counts, other: Counts, size: Counts, others: Counts, certain: int
) -> Float[np.ndarray, " cells"]:
    """`_before`, where the player who must be absent comes later."""
    cells = (c, other, size, others)
    return _before(*cells, certain) - _before(*cells, certain + 1)


def _log_binomial(n: Counts, k: Counts) -> Float[np.ndarray, " cells"]:
    """log C(n, k), elementwise, for 0 <= k <= n."""
    largest = int(np.max(n, initial=0))
    table = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, largest + 1)))])
    return table[n] - table[k] - table[n - k]
