"""N_eps against closed form, and evaluations counted."""

import math

import jax
import numpy as np
import pytest

from carbjax._criteria.budget_search import budget_grid
from carbjax._criteria.sample_efficiency import (
    method_efficiency,
    sample_efficiencies,
    sample_efficiency,
)
from carbjax._criteria.tabulate import (
    Tabulated,
    all_coalitions,
    from_values,
    table_shapley,
    tabulate,
)
from carbjax._errors import InputError
from tests.criteria.sinners import by_tokens, raises
from tests.estimators.games import known_games, random_table

SIGMA = 4.0


def normal_estimator(truth):
    """Errors are normal, of standard deviation SIGMA / sqrt(budget), independent."""

    def estimate(game, budget, key):
        seed = np.asarray(jax.random.key_data(key)).tolist()
        error = np.random.default_rng([*seed, budget]).normal(size=len(truth))
        return truth + SIGMA / math.sqrt(budget) * error

    return estimate


def closed_form_budget(eps, alpha, players):
    """The n at which all |error| <= eps with chance 1 - alpha."""
    wanted = (1 - alpha) ** (1 / players)
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if math.erf(middle / math.sqrt(2)) < wanted else (low, middle)
        )
    return (SIGMA * low / eps) ** 2


@pytest.mark.parametrize("eps, alpha", [(0.5, 0.1), (0.3, 0.2)])
def test_n_eps_of_a_normal_error(eps, alpha):
    game, truth = random_table(1, 12)
    found = sample_efficiency(
        game,
        estimator=normal_estimator(truth),
        eps=eps,
        relative=False,
        alpha=alpha,
        repeats=200,
    )
    wanted = closed_form_budget(eps, alpha, 12)
    assert wanted / 1.4 < found.num_evaluations < wanted * 1.4
    assert found.lower <= found.num_evaluations <= found.upper
    assert found.lower <= 1.25 * wanted and wanted <= 1.25 * found.upper


def test_an_interval_holds_n_eps_as_often_as_it_says():
    """Over twenty keys; bisection looks at several budgets, so a little less often."""
    game, truth = random_table(1, 12)
    wanted = closed_form_budget(0.5, 0.1, 12)
    held = 0
    for seed in range(20):
        found = sample_efficiency(
            game,
            estimator=normal_estimator(truth),
            eps=0.5,
            relative=False,
            key=jax.random.key(seed),
        )
        held += found.lower <= 1.25 * wanted and wanted <= 1.25 * found.upper
    assert held >= 16


def test_several_eps_share_their_runs_and_need_more_for_less():
    game = known_games()["unanimity"]
    coarse, fine = sample_efficiencies(
        game, (0.5, 0.05), estimator="antithetic", repeats=30
    )
    assert coarse.num_evaluations < fine.num_evaluations <= 2**8
    mean = abs(game.shapley().sum()) / 8
    assert coarse.eps_g == pytest.approx(0.5 * mean)


def test_an_additive_game_takes_the_least_budget():
    found = sample_efficiency(known_games()["additive"], estimator="antithetic")
    assert found.num_evaluations == found.tried[0].budget == 16


def test_what_never_comes_near_is_infinite():
    game, truth = random_table(2, 6)
    found = sample_efficiency(game, estimator=lambda *_: truth + 9.0, repeats=10)
    assert math.isinf(found.num_evaluations) and math.isinf(found.upper)


@pytest.mark.parametrize(
    "method, evaluations, near",
    [("shapley", 2**6, True), ("leave_one_out", 7, False), ("standalone", 8, False)],
)
def test_values_are_counted(method, evaluations, near):
    game, _ = random_table(3, 6)
    assert method_efficiency(method, game) == (evaluations, near)


def test_equal_players_need_fewer_values():
    """Only how many of four equal players take part is asked."""
    by_size = np.sqrt(all_coalitions(4).sum(axis=1))
    game = Tabulated(from_values(by_size).columns, kind=(0, 0, 0, 0))
    assert method_efficiency("shapley", game) == (5, True)


def test_a_method_that_raises_is_a_reason():
    game, _ = random_table(3, 3)
    assert "raises" in str(method_efficiency(raises, game))
    assert "raises" in str(method_efficiency(by_tokens, game))


def test_a_table_has_the_game_s_shapley_value():
    game, truth = random_table(4, 7)
    np.testing.assert_allclose(table_shapley(tabulate(game)), truth, atol=1e-12)
    known = known_games()["airport"]
    np.testing.assert_allclose(table_shapley(tabulate(known)), known.shapley(), atol=1e-12)


def test_grids_rise_from_least_to_most():
    grid = budget_grid(16, 4096, 1.25)
    assert grid[0] == 16 and grid[-1] == 4096
    steps = np.divide(grid[1:], grid[:-1])
    assert (steps > 1).all() and steps.max() < 1.5


@pytest.mark.parametrize("wrong", [{"eps": 0.0}, {"alpha": 1.0}, {"truth": [1.0]}])
def test_bad_settings_are_refused(wrong):
    with pytest.raises(InputError):
        sample_efficiency(from_values(np.arange(4.0)), **wrong)
