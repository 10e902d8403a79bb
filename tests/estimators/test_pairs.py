"""Samples of pairs: distinct, balanced, nested."""

import itertools
import math

import numpy as np
import pytest

from carbjax._estimators.orders import sobol_orders, with_reverses
from carbjax._estimators.pairs import (
    _numbered,
    allot,
    draw_pairs,
    num_pairs,
    sizes_of,
)


def _wanted(kind, num_players):
    sizes = np.array(sizes_of(num_players))
    return np.ones(len(sizes)) if kind == "equal" else 1 / (sizes * (num_players - sizes))


@pytest.mark.parametrize("num_players", [2, 3, 7, 12, 41])
@pytest.mark.parametrize("kind", ["equal", "kernel"])
def test_allotments_are_nested_and_complete(num_players, kind):
    wanted = _wanted(kind, num_players)
    most = [num_pairs(num_players, s) for s in sizes_of(num_players)]
    before = np.zeros(len(wanted), int)
    for total in range(1, 120):
        counts = allot(num_players, total, wanted)
        assert counts.sum() == min(total, sum(most))
        assert (counts >= before).all() and (counts <= most).all()
        before = counts


def test_equal_claims_are_spread_over_the_sizes():
    counts = allot(100, 10, _wanted("equal", 100))
    taken = np.flatnonzero(counts) + 1
    assert taken.min() <= 10 and taken.max() >= 40 and counts.max() == 1


@pytest.mark.parametrize("num_players", [5, 6])
def test_all_pairs_are_all_coalitions_but_the_extremes(num_players):
    total = sum(num_pairs(num_players, s) for s in sizes_of(num_players))
    counts = allot(num_players, total, _wanted("equal", num_players))
    pairs = draw_pairs(num_players, counts, np.random.default_rng(0))
    both = np.concatenate([pairs.coalitions, ~pairs.coalitions])
    assert len(np.unique(both, axis=0)) == 2**num_players - 2 == 2 * total
    assert (pairs.coalitions.sum(axis=1) == pairs.size).all()


def test_more_pairs_are_the_same_and_others():
    few, many = (
        draw_pairs(24, allot(24, total, _wanted("equal", 24)), np.random.default_rng(1))
        for total in (40, 90)
    )
    rows = {row.tobytes() for row in many.coalitions}
    assert {row.tobytes() for row in few.coalitions} < rows and len(rows) == 90


def test_sobol_orders_are_orders_and_all_equally_likely():
    rng = np.random.default_rng(2)
    drawn = np.concatenate([sobol_orders(4, 8, rng) for _ in range(300)])
    assert (np.sort(drawn, axis=1) == np.arange(4)).all()
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    expected = len(drawn) / math.factorial(4)
    assert len(counts) == 24 and np.abs(counts - expected).max() < 4 * math.sqrt(expected)


def test_reverses_follow_their_orders():
    both = with_reverses(np.array([[0, 1, 2], [2, 0, 1]]))
    assert both.tolist() == [[0, 1, 2], [2, 1, 0], [2, 0, 1], [1, 0, 2]]


@pytest.mark.parametrize("num_players, size", [(1, 1), (6, 3), (7, 2), (30, 1)])
def test_coalitions_are_numbered_as_combinations(num_players, size):
    every = list(itertools.combinations(range(num_players), size))
    found = _numbered(np.arange(len(every)), num_players, size)
    assert [tuple(np.flatnonzero(row)) for row in found] == every
