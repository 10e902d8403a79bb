"""Whether two attributions agree on who pays most."""

import math

import numpy as np
from jaxtyping import Float

_TIED = 1e-9  # of the largest share: nearer ones count as equal
_TOP_PART = 0.25


def kendall_tau(
    shares: Float[np.ndarray, " players"], truth: Float[np.ndarray, " players"]
) -> float:
    """Kendall's tau-b of the two orders: 1 the same, -1 reversed.

    Shares within 1e-9 of the largest are ties, so that rounding ranks nobody. NaN where
    one of the two has all players equal.
    """
    from scipy.stats import kendalltau

    if len(shares) < 2:
        return math.nan
    return float(np.asarray(kendalltau(_ranks(shares), _ranks(truth)))[0])


def top_overlap(
    shares: Float[np.ndarray, " players"],
    truth: Float[np.ndarray, " players"],
    top: int | None = None,
) -> float:
    """The part of the `top` payers of the truth that are among those of `shares`.

    A quarter of the players unless told, at least one. Who ties with the last of them
    counts as among them.
    """
    count = top or max(1, round(_TOP_PART * len(truth)))
    payers = np.argsort(-_ranks(truth), kind="stable")[:count]
    ranks = _ranks(shares)
    last = np.sort(ranks)[-count]
    return float(np.mean(ranks[payers] >= last))


def _ranks(shares: Float[np.ndarray, " players"]) -> Float[np.ndarray, " players"]:
    """Numbers in the order of the shares, equal where these differ by rounding alone."""
    order = np.argsort(shares, kind="stable")
    ordered = np.asarray(shares)[order]
    step = np.diff(ordered, prepend=ordered[:1]) > _TIED * np.abs(ordered).max()
    ranks = np.empty(len(ordered))
    ranks[order] = np.cumsum(step)
    return ranks
