"""Sampled Banzhaf values and interactions against enumeration."""

import jax
import numpy as np
import pytest

from carbjax._attribution.banzhaf import banzhaf
from carbjax._attribution.interactions import shapley_interactions
from carbjax._errors import InputError
from carbjax._estimators.index_estimates import estimate_banzhaf, estimate_interactions
from carbjax._games.table import TableGame

BOTH = [(estimate_banzhaf, banzhaf), (estimate_interactions, shapley_interactions)]
IDS = ["banzhaf", "interactions"]


def _table(seed: int, num_players: int) -> TableGame:
    return TableGame(np.random.default_rng(seed).normal(size=2**num_players))


@pytest.mark.parametrize("estimate, exact", BOTH, ids=IDS)
@pytest.mark.parametrize("num_players", [2, 5, 6])
def test_all_coalitions_give_the_exact_index(estimate, exact, num_players):
    game = _table(num_players, num_players)
    found = estimate(game, budget=max(2**num_players, 2 * num_players + 2))
    np.testing.assert_allclose(found.values, exact(game), atol=1e-10)
    np.testing.assert_array_equal(found.stderr, 0.0)
    assert found.num_evaluations == 2**num_players


@pytest.mark.parametrize("estimate, exact", BOTH, ids=IDS)
def test_estimates_are_unbiased_and_know_their_errors(estimate, exact):
    game, draws = _table(3, 6), 24
    truth = np.asarray(exact(game))
    keys = jax.random.split(jax.random.key(0), draws)
    found = [estimate(game, budget=26, key=key) for key in keys]
    values = np.array([f.values for f in found])
    errors = np.array([f.stderr for f in found])
    off = (values.mean(axis=0) - truth) / (values.std(axis=0) / np.sqrt(draws))
    assert np.abs(off).max() < 4.0
    assert np.mean(np.abs(values - truth) <= 2 * errors) > 0.85
    assert all(f.num_evaluations <= 26 for f in found)


@pytest.mark.parametrize("estimate, _", BOTH, ids=IDS)
def test_a_key_makes_the_sample(estimate, _):
    game, key = _table(1, 6), jax.random.key(5)
    first, again = (estimate(game, budget=20, key=key) for _ in range(2))
    np.testing.assert_array_equal(first.values, again.values)
    other = estimate(game, budget=20, key=jax.random.key(6))
    assert (first.values != other.values).any()


@pytest.mark.parametrize("estimate, _", BOTH, ids=IDS)
@pytest.mark.parametrize("budget", [0, 13, 10**6])
def test_a_budget_out_of_range_is_refused(estimate, _, budget):
    with pytest.raises(InputError, match="budget"):
        estimate(_table(1, 6), budget=budget)
