"""Estimates from a table are those that `estimate_shapley` makes of the game itself."""

import jax
import numpy as np
import pytest

import carbjax as cj
from carbjax._criteria.default_estimates import DefaultEstimates
from carbjax._criteria.tabulate import tabulate
from carbjax._estimators.blocks import separate_blocks
from carbjax._estimators.wanted import shares_alone
from tests.criteria.sinners import tiny_system

PLAYERS = 10
KEY = jax.random.key(1)


def game(arrivals) -> cj.ServingGame:
    rng = np.random.default_rng(1)
    tokens = rng.integers((5, 2), (60, 20), (PLAYERS, 2))
    return cj.ServingGame(cj.Workload(arrivals, *tokens.T), tiny_system())


TOGETHER = np.linspace(0, 0.01, PLAYERS)
APART = np.where(np.arange(PLAYERS) < 7, TOGETHER, 1000 + TOGETHER)


@pytest.mark.parametrize("arrivals", [TOGETHER, APART])
@pytest.mark.parametrize("budget", [12, 40])  # too few for absences, and enough
def test_they_are_the_default_s(arrivals, budget):
    serving = game(arrivals)
    assert (len(separate_blocks(serving)) > 1) == (arrivals is APART)
    estimates = DefaultEstimates(serving, tabulate(serving), "auto")
    found = cj.estimate_shapley(serving, budget=budget, key=KEY)
    with shares_alone():
        shares = estimates(serving, budget, KEY)
    np.testing.assert_allclose(shares, found.shares, rtol=1e-6)
    assert np.isfinite(found.stderr).all()


def test_without_errors_the_shares_are_the_same():
    serving = game(TOGETHER)
    with shares_alone():
        without = cj.estimate_shapley(serving, budget=40, key=KEY)
    found = cj.estimate_shapley(serving, budget=40, key=KEY)
    np.testing.assert_array_equal(without.shares, found.shares)
    assert np.isnan(without.stderr).all()
