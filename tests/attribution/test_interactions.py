"""Banzhaf values and interactions against their definitions, and games solved on paper."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._attribution.banzhaf import banzhaf
from carbjax._attribution.exact import shapley
from carbjax._attribution.interactions import shapley_interactions
from carbjax._errors import InputError
from carbjax._games.known import AdditiveGame, UnanimitySum
from carbjax._games.table import TableGame
from tests.attribution.test_exact import CountGame


def _subsets(players):
    return itertools.chain.from_iterable(
        itertools.combinations(players, k) for k in range(len(players) + 1)
    )


def _others(num_players, *players):
    return list(_subsets([i for i in range(num_players) if i not in players]))


def _value(table, *members):
    return table[sum(1 << i for i in members)]


def _banzhaf_by_definition(table, num_players):
    return [
        np.mean([_value(table, *s, i) - _value(table, *s) for s in _others(num_players, i)])
        for i in range(num_players)
    ]


def _interaction_by_definition(table, n, i, j):
    return sum(
        math.factorial(len(s))
        * math.factorial(n - len(s) - 2)
        / math.factorial(n - 1)
        * (
            _value(table, *s, i, j)
            - _value(table, *s, i)
            - _value(table, *s, j)
            + _value(table, *s)
        )
        for s in _others(n, i, j)
    )


def _off_diagonal(square):
    return square[~np.eye(len(square), dtype=bool)]


@pytest.mark.parametrize("num_players", [1, 2, 5])
def test_banzhaf_is_the_mean_marginal(num_players):
    table = np.random.default_rng(num_players).normal(size=2**num_players)
    expected = _banzhaf_by_definition(table, num_players)
    np.testing.assert_allclose(banzhaf(TableGame(table)), expected, atol=1e-12)


@pytest.mark.parametrize("num_players", [2, 3, 5])
def test_interactions_are_the_mean_second_difference(num_players):
    table = np.random.default_rng(num_players).normal(size=2**num_players)
    found = np.asarray(shapley_interactions(TableGame(table)))
    for i, j in itertools.permutations(range(num_players), 2):
        expected = _interaction_by_definition(table, num_players, i, j)
        assert found[i, j] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(found.diagonal(), shapley(TableGame(table)), atol=1e-12)


def _random_sum(seed, num_players=6):
    rng = np.random.default_rng(seed)
    teams = rng.random((9, num_players)) < 0.5
    teams[np.arange(9), rng.integers(num_players, size=9)] = True
    return UnanimitySum(teams, rng.normal(size=9))


def test_a_team_divides_its_worth_among_its_pairs():
    game = _random_sum(3)
    teams = np.asarray(game.teams, float)
    size = teams.sum(axis=1)
    each = np.asarray(game.worth) / np.maximum(size - 1, 1) * (size > 1)
    expected = (teams * each[:, None]).T @ teams
    found = np.asarray(shapley_interactions(game))
    np.testing.assert_allclose(
        _off_diagonal(found), _off_diagonal(expected), rtol=1e-10, atol=1e-12
    )


def test_a_team_s_banzhaf_value_is_its_chance_to_be_complete():
    game = _random_sum(4)
    teams = np.asarray(game.teams, float)
    expected = teams.T @ (np.asarray(game.worth) * 0.5 ** (teams.sum(axis=1) - 1))
    np.testing.assert_allclose(banzhaf(game), expected, atol=1e-12)


def test_additive_players_are_worth_their_weight_and_do_not_interact():
    game = AdditiveGame([1.0, -2.0, 3.5, 0.0])
    np.testing.assert_allclose(banzhaf(game), game.worth, atol=1e-12)
    between = _off_diagonal(np.asarray(shapley_interactions(game)))
    np.testing.assert_allclose(between, 0.0, atol=1e-12)


@pytest.mark.parametrize("index", [banzhaf, shapley_interactions])
def test_indices_are_linear(index):
    left, right = np.random.default_rng(5).normal(size=(2, 2**5))
    parts = index(TableGame(left)) - 3 * index(TableGame(right))
    whole = index(TableGame(left - 3 * right))
    np.testing.assert_allclose(whole, parts, atol=1e-12)


@pytest.mark.parametrize("index", [banzhaf, shapley_interactions])
def test_kinds_compress_without_changing_an_index(index):
    game = CountGame((0, 1, 1, 2, 0, 1))
    values = [game(jnp.asarray([s >> i & 1 for i in range(6)], bool)) for s in range(2**6)]
    plain = index(TableGame(values))
    np.testing.assert_allclose(index(game), plain, rtol=1e-10, atol=1e-12)


def test_one_player_shares_with_nobody():
    with pytest.raises(InputError, match="two players"):
        shapley_interactions(TableGame([0.0, 1.0]))
