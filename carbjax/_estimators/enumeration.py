"""The exact Shapley value where the budget pays for every coalition."""

import math

import numpy as np
from jaxtyping import Bool, Float

from carbjax._estimators.columns import Columns
from carbjax._estimators.oracle import Oracle


def num_distinct(kinds: tuple[int, ...]) -> int:
    """Coalitions that differ by more than the exchange of players of one kind."""
    _, members = np.unique(np.asarray(kinds), return_counts=True)
    return math.prod(int(m) + 1 for m in members)


def enumerate_shapley(oracle: Oracle) -> Columns:
    """The Shapley value by component, `"players 5"`, from all distinct coalitions."""
    labels, kind = np.unique(np.asarray(oracle.game.kinds), return_inverse=True)
    members = np.bincount(kind, minlength=len(labels))
    counts = np.indices((members + 1).tolist()).reshape(len(members), -1).T
    place = np.array([np.count_nonzero(kind[:i] == k) for i, k in enumerate(kind)])
    coalitions = place < counts[:, kind]
    ways = np.ones(len(counts))
    for k, number in enumerate(members.tolist()):
        ways *= np.array([math.comb(number, c) for c in range(number + 1)])[counts[:, k]]
    # Of the coalitions that a row stands for, this part has a given player of the kind.
    part = (counts / members)[:, kind]
    size = counts.sum(axis=1)
    joined, absent = shapley_weights(oracle.num_players)
    weights = ways[:, None] * (part * joined[size, None] - (1 - part) * absent[size, None])
    return weights.T @ oracle.values(coalitions)


def shapley_weights(
    num_players: int,
) -> tuple[Float[np.ndarray, " sizes"], Float[np.ndarray, " sizes"]]:
    """phi_i = sum of v(S) times the first for S with i, minus the second without i."""
    before = np.array(
        [1 / (num_players * math.comb(num_players - 1, s)) for s in range(num_players)]
    )
    return np.r_[0.0, before], np.r_[before, 0.0]


def player_weights(
    coalitions: Bool[np.ndarray, "coalitions players"],
) -> Float[np.ndarray, "coalitions players"]:
    """phi_i = sum over sizes of the mean over the S of that size of weight_i(S) v(S).

    1 / s for the s members, -1 / (n - s) for the others.
    """
    size = coalitions.sum(axis=1, keepdims=True)
    num_players = coalitions.shape[1]
    inside, outside = np.maximum(size, 1), np.maximum(num_players - size, 1)
    return np.where(coalitions, 1 / inside, -1 / outside)
