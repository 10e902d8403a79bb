"""What every estimator keeps, over the registry and random games."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float

from carbjax._carbon.emissions import Emissions
from carbjax._estimators.estimate import estimate_shapley
from carbjax._estimators.registry import ESTIMATORS
from carbjax._games.base import AbstractGame
from carbjax._games.known import AbstractKnownGame
from carbjax._games.table import TableGame
from tests.estimators.games import known_games, random_sum, random_table

CONTROLS = ("none", "stand_alone")
SEEDS = 60
estimators = pytest.mark.parametrize("estimator", ESTIMATORS)
controls = pytest.mark.parametrize("control", CONTROLS)


def _samples(game, estimator, control, budget, seeds=SEEDS):
    found = [
        estimate_shapley(
            game, budget=budget, estimator=estimator, control=control, key=jax.random.key(s)
        )
        for s in range(seeds)
    ]
    return np.array([f.shares for f in found]), np.array([f.stderr for f in found])


@estimators
@pytest.mark.parametrize("name", known_games())
def test_exact_where_the_budget_pays_for_all(estimator, name):
    game = known_games()[name]
    found = estimate_shapley(game, budget=2**game.num_players, estimator=estimator)
    np.testing.assert_allclose(found.shares, game.shapley(), atol=1e-12)
    assert not found.stderr.any() and found.num_evaluations <= 2**game.num_players


@estimators
@controls
def test_shares_add_up_and_the_budget_holds(estimator, control):
    game, _ = random_table(1, 9)
    worth = float(game.values[-1] - game.values[0])
    for budget in (29, 60, 301):
        found = estimate_shapley(game, budget=budget, estimator=estimator, control=control)
        np.testing.assert_allclose(found.shares.sum(), worth, rtol=1e-10)
        assert found.num_evaluations <= budget
        assert found.stderr.shape == (9,) and (found.stderr > 0).all()


@controls
@pytest.mark.parametrize("name", [n for n, e in ESTIMATORS.items() if e.unbiased])
def test_the_mean_over_seeds_is_the_truth(name, control):
    game, truth = random_table(2, 6)
    shares, _ = _samples(game, name, control, 30, seeds=150)
    away = shares.mean(axis=0) - truth
    z = away / (shares.std(axis=0, ddof=1) / np.sqrt(len(shares)))
    assert np.abs(z).max() < 4.0  # of 6 players; beyond with chance 4e-4


@estimators
@controls
def test_two_standard_errors_cover_the_truth(estimator, control):
    game = random_sum(np.random.default_rng(3), 10)
    shares, stderr = _samples(game, estimator, control, 60)
    covered = np.abs(shares - game.shapley()) <= 2 * stderr
    assert covered.mean() > 0.88
    # Honest is not vague: three times the real error at most.
    assert np.sqrt((stderr**2).mean()) < 3 * np.sqrt(
        ((shares - game.shapley()) ** 2).mean()
    )


@estimators
def test_the_same_key_gives_the_same_answer(estimator):
    game, _ = random_table(4, 8)
    a, b, c = (
        estimate_shapley(game, budget=50, estimator=estimator, key=jax.random.key(k)).shares
        for k in (1, 1, 2)
    )
    assert (a == b).all() and (a != c).any()


@estimators
def test_the_error_falls_with_the_budget(estimator):
    game = random_sum(np.random.default_rng(5), 10)
    errors = [
        np.sqrt(
            (
                (_samples(game, estimator, "none", budget, seeds=12)[0] - game.shapley())
                ** 2
            ).mean()
        )
        for budget in (40, 400)
    ]
    assert errors[1] < 0.7 * errors[0]


class Paired(AbstractKnownGame):
    """Two equal players, declared to be, and a game that favours neither."""

    game: AbstractKnownGame

    @property
    def num_players(self) -> int:
        return self.game.num_players

    @property
    def kinds(self) -> tuple[int, ...]:
        return (0, 0, *range(1, self.num_players - 1))

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        swapped = coalition.at[0].set(coalition[1]).at[1].set(coalition[0])
        return (self.game.value(coalition) + self.game.value(swapped)) / 2

    def shapley(self):
        shares = np.array(self.game.shapley())
        shares[:2] = shares[:2].mean()
        return shares


@estimators
def test_equal_players_get_equal_shares(estimator):
    game = Paired(random_sum(np.random.default_rng(6), 8))
    found = estimate_shapley(game, budget=40, estimator=estimator)
    assert found.shares[0] == found.shares[1]
    everything = estimate_shapley(game, budget=3 * 2**6, estimator=estimator)
    np.testing.assert_allclose(everything.shares, game.shapley(), atol=1e-12)


@estimators
def test_a_null_player_gets_nothing_within_the_error(estimator):
    rng = np.random.default_rng(8)
    game = random_sum(rng, 9)
    teams = np.array(game.teams)
    teams[:, 4] = False
    empty = ~teams.any(axis=1)
    teams[empty, 0] = True
    game = type(game)(teams, game.worth)
    shares, stderr = _samples(game, estimator, "none", 60, seeds=20)
    assert (np.abs(shares[:, 4]) <= 3 * stderr[:, 4] + 1e-9).mean() > 0.9


class Split(AbstractGame):
    """The decode column of one game, and that of another as prefill."""

    decode: TableGame
    prefill: TableGame

    @property
    def num_players(self) -> int:
        return self.decode.num_players

    @property
    def kinds(self) -> tuple[int, ...]:
        return self.decode.kinds

    def components(self, coalition: Bool[Array, " players"]) -> Emissions:
        decode = self.decode.components(coalition).decode
        prefill = self.prefill.components(coalition).decode
        zero = jnp.zeros_like(decode)
        return Emissions(prefill, decode, zero, zero, zero)


@estimators
def test_components_are_estimated_with_the_same_weights(estimator):
    decode, _ = random_table(9, 7)
    prefill, _ = random_table(10, 7)
    split, whole = Split(decode, prefill), TableGame(decode.values + prefill.values)
    found, total = (
        estimate_shapley(g, budget=40, estimator=estimator, key=jax.random.key(3))
        for g in (split, whole)
    )
    np.testing.assert_allclose(found.shares, total.shares, rtol=1e-7)
    np.testing.assert_allclose(found.stderr, total.stderr, rtol=1e-7)
    worth = float(prefill.values[-1] - prefill.values[0])
    np.testing.assert_allclose(found.components["prefill"].sum(), worth, rtol=1e-10)
