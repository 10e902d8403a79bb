"""One call: stopping, progress, bad input, many players."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float, Int

from carbjax._errors import InputError
from carbjax._estimators.columns import NUM_COLUMNS
from carbjax._estimators.estimate import estimate_shapley
from carbjax._estimators.odd import MOST_PAIRS
from carbjax._estimators.registry import ESTIMATORS, find_estimator
from carbjax._games.known import AbstractKnownGame, AdditiveGame, UnanimitySum
from carbjax._games.table import TableGame
from carbjax._progress import listening
from tests.estimators.games import random_sum, random_table


def test_stops_at_the_accuracy_asked_for():
    game = random_sum(np.random.default_rng(1), 12)
    mean = abs(game.shapley().mean())
    found = estimate_shapley(game, budget=4000, accuracy=0.05)
    assert found.num_evaluations < 2000 and not found.flags
    assert found.stderr.max() <= 0.05 * mean
    far = estimate_shapley(game, budget=100, accuracy=1e-6)
    assert "standard error" in far.flags[0]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_looking_on_the_way_changes_nothing(estimator):
    game, _ = random_table(2, 9)
    seen = []
    with listening(lambda *report: seen.append(report)):
        watched = estimate_shapley(game, budget=300, estimator=estimator)
    unwatched = estimate_shapley(game, budget=300, estimator=estimator)
    assert (watched.shares == unwatched.shares).all()
    assert watched.num_evaluations == unwatched.num_evaluations <= 300
    assert len(seen) > 2 and "error" in seen[0][0]
    assert all(done <= 300 for _, done, _ in seen)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_too_small_a_budget_names_the_least(estimator):
    game, _ = random_table(3, 10)
    least = ESTIMATORS[estimator].least(10)
    assert least <= 2 * 10 + 2
    assert estimate_shapley(game, budget=least, estimator=estimator).stderr.all()
    with pytest.raises(InputError, match=str(least)):
        estimate_shapley(game, budget=least - 1, estimator=estimator)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"estimator": "od"}, "Did you mean 'odd'"),
        ({"control": "magic"}, "stand_alone"),
        ({"control": "closed_form"}, "TableGame"),
        ({"accuracy": 0.0}, "accuracy"),
        ({"budget": 1}, "budget"),
    ],
)
def test_bad_input(wrong, said):
    game, _ = random_table(4, 6)
    with pytest.raises(InputError, match=said):
        estimate_shapley(game, **{"budget": 30, **wrong})


class Broken(AbstractKnownGame):
    """No number where players 2 and 3 meet."""

    @property
    def num_players(self) -> int:
        return 8

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        alone = jnp.sum(coalition.astype(float))
        meet = coalition[2] & coalition[3] & ~coalition[4]
        return jnp.where(meet, jnp.nan, alone)

    def shapley(self):
        return np.ones(8)


def test_a_value_that_is_no_number_names_the_coalition():
    with pytest.raises(InputError, match="players .*2, 3.* not finite"):
        estimate_shapley(Broken(), budget=100)


def test_many_pairs_are_for_the_adjusted_regression():
    game = random_sum(np.random.default_rng(8), 16)
    budget = 2 * MOST_PAIRS + 100
    with pytest.raises(InputError, match="adjusted"):
        estimate_shapley(game, budget=budget, estimator="odd")
    assert find_estimator("auto", budget)[0] == "adjusted"
    assert find_estimator("auto", 1000)[0] == "odd"


def test_a_single_player_pays_all():
    found = estimate_shapley(TableGame([3.0, 10.0]), budget=2)
    assert found.shares.tolist() == [7.0] and found.stderr.tolist() == [0.0]


class Known:
    """A control that is a known game."""

    name = "known"

    def __init__(self, game: AbstractKnownGame):
        self.game = game

    def values(self, coalitions):
        columns = np.zeros((len(coalitions), NUM_COLUMNS))
        columns[:, 1] = jax.vmap(self.game.value)(jnp.asarray(coalitions))
        return columns

    def shapley(self):
        columns = np.zeros((self.game.num_players, NUM_COLUMNS))
        columns[:, 1] = self.game.shapley()
        return columns


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_perfect_control_leaves_nothing_to_estimate(estimator):
    game = random_sum(np.random.default_rng(5), 9)
    found = estimate_shapley(game, budget=40, estimator=estimator, control=Known(game))
    np.testing.assert_allclose(found.shares, game.shapley(), atol=1e-9)
    assert found.stderr.max() < 1e-9


class Doubtful(Known):
    """It lacks a multiple of a known game, and has taken the values of all but one."""

    def __init__(self, game: AbstractKnownGame, doubt: AbstractKnownGame):
        super().__init__(game)
        self.doubt = doubt
        self.taken = ~np.eye(game.num_players, dtype=bool)

    def values_and_doubts(self, coalitions):
        doubts = jax.vmap(self.doubt.value)(jnp.asarray(coalitions))
        return self.values(coalitions), np.asarray(doubts)[:, None]

    def doubts_shapley(self):
        return np.asarray(self.doubt.shapley())[:, None]


@pytest.mark.parametrize("estimator, budget", [("odd", 9 + 6), ("adjusted", 9 + 40)])
def test_a_multiple_of_a_doubt_is_learnt_from_few_values(estimator, budget):
    rng = np.random.default_rng(9)
    game, doubt = random_sum(rng, 9), random_sum(rng, 9)
    teams, worth = (
        np.concatenate(x) for x in zip(*((g.teams, g.worth) for g in (game, doubt)))
    )
    worth[len(game.teams) :] *= 0.4
    v = UnanimitySum(teams, worth)
    found = estimate_shapley(
        v, budget=budget, estimator=estimator, control=Doubtful(game, doubt)
    )
    mean = abs(v.shapley().mean())
    assert np.abs(found.shares - v.shapley()).max() < 0.05 * mean
    assert np.abs(v.shapley() - game.shapley()).max() > 0.3 * mean
    assert 9 + 2 < found.num_evaluations <= budget


class Neighbours(AbstractKnownGame):
    """Each player's own worth, and a bonus of every three that are near one another."""

    worth: Float[Array, " players"]
    three: Int[Array, "players 3"]
    bonus: Float[Array, " players"]

    @property
    def num_players(self) -> int:
        return len(self.worth)

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        complete = jnp.all(coalition[self.three], axis=1)
        parts = jnp.where(coalition, self.worth, 0.0)
        return jnp.sum(parts + jnp.where(complete, self.bonus, 0.0))

    def shapley(self):
        bonus = np.repeat(np.asarray(self.bonus) / 3, 3)
        received = np.bincount(np.ravel(self.three), bonus, self.num_players)
        return np.asarray(self.worth) + received


@pytest.mark.slow
def test_a_thousand_players_within_6000_values():
    """1% standard error where the control knows all but how players meet in threes."""
    rng = np.random.default_rng(6)
    worth = rng.uniform(0.5, 1.5, 1000)
    three = np.arange(1000)[:, None] + [0, 1, 7]
    bonus = rng.normal(-0.03, 0.015, 1000)
    game = Neighbours(*map(jnp.asarray, (worth, three % 1000, bonus)))
    control = Known(AdditiveGame(worth))
    found = estimate_shapley(game, budget=5900, control=control)
    mean = game.shapley().mean()
    assert found.num_evaluations <= 5900
    assert np.sqrt(np.mean((found.shares - game.shapley()) ** 2)) < 0.01 * mean
    assert found.stderr.max() <= 0.01 * mean
