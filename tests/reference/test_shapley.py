"""Shapley by definition on games whose values are known, in exact fractions."""

import random
from fractions import Fraction

import pytest

from .shapley import coalitions, leave_one_out, shapley_by_orders, shapley_by_subsets

both = pytest.mark.parametrize("shapley", [shapley_by_orders, shapley_by_subsets])


def table_game(*values):
    """Bit i of the index is player i."""
    by_index = [Fraction(value) for value in values]
    return lambda coalition: by_index[sum(2**i for i in coalition)]


def random_game(num_players, seed):
    draw = random.Random(seed)
    return table_game(*(draw.randint(-99, 99) for _ in range(2**num_players)))


@both
def test_cooking_game(shapley):
    game = table_game(10, 4, 3, 9, 2, 8, 7, 15)
    assert shapley(game, 3) == [Fraction(8, 3), Fraction(5, 3), Fraction(2, 3)]
    grounded = table_game(0, 4, 3, 9, 2, 8, 7, 15)
    assert shapley(grounded, 3) == [6, 5, 4]


@both
def test_case_study_of_the_paper(shapley):
    game = table_game(30, 40, 40, 42)
    assert shapley(game, 2) == [6, 6]
    assert leave_one_out(game, 2) == [2, 2]


@both
def test_unanimity_game_is_shared_by_its_members(shapley):
    shares = shapley(lambda s: Fraction(int({1, 3, 4} <= s)), 5)
    assert shares == [0, Fraction(1, 3), 0, Fraction(1, 3), Fraction(1, 3)]


@both
def test_majority_of_three(shapley):
    assert shapley(lambda s: Fraction(100 * (len(s) >= 2)), 3) == [Fraction(100, 3)] * 3


@both
def test_linear_with_interactions(shapley):
    linear = [Fraction(x, 10) for x in (0, 2, -1, -9, 0)]
    pairs = {(0, 1): Fraction(4, 10), (1, 3): Fraction(3, 10), (2, 4): Fraction(1)}

    def game(s):
        return sum(linear[i] for i in s) + sum(w for p, w in pairs.items() if {*p} <= s)

    assert shapley(game, 5) == [Fraction(x, 100) for x in (20, 55, 40, -75, 50)]


@pytest.mark.parametrize("num_players", [1, 2, 3, 4, 5])
def test_orders_and_subsets_agree_and_are_efficient(num_players):
    game = random_game(num_players, seed=num_players)
    shares = shapley_by_subsets(game, num_players)
    assert shares == shapley_by_orders(game, num_players)
    everyone = coalitions(num_players)[-1]
    assert sum(shares) == game(everyone) - game(frozenset())
