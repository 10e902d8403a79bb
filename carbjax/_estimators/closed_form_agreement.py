"""How far the two ways to retime a schedule agree, and what follows for their blend."""

import numpy as np

from carbjax._estimators.closed_form_sums import CountedSum, values_of
from carbjax._estimators.columns import total_of
from carbjax._estimators.pairs import allot, draw_pairs, sizes_of

_PAIRS = 256
# Of the best multiple, fitted to 18 games of 12 and 16 requests: where it begins, and how
# it grows with the agreement. It was within 0.3 of the best.
_LEAST, _GROWTH = 0.2, 1.9
_MOST = 1.7


def multiple_of_absences(sums: list[CountedSum], num_players: int) -> float:
    """How much of `s (A - C)` is likely to be in v: 0 to 1.7.

    `sums` are F, then what adds up to the games `C - F`, `A - C` and `s (A - C)`. Single
    absences A add up to nonsense where each of them shifts all batches after it: then they
    are large, and unlike the crowding C. The multiple grows with `a . c / a . a`, a and c
    the odd parts of `A - F` and `C - F` at random coalitions. It takes no value of v.
    """
    counts = allot(num_players, _PAIRS, np.ones(len(sizes_of(num_players))))
    pairs = draw_pairs(num_players, counts, np.random.default_rng(0)).coalitions
    if len(sums) < 2 or not len(pairs):
        return 0.0
    both = (total_of(values_of(sums[1:], half)) for half in (pairs, ~pairs))
    crowding, difference, _ = np.subtract(*both)
    absences = difference + crowding
    square = absences @ absences
    agreement = float(absences @ crowding / square) if square > 0 else 0.0
    return float(np.clip(_LEAST + _GROWTH * agreement, 0.0, _MOST))
