"""The random odd game against its definition, and what is learnt of it."""

import numpy as np
import pytest
import threadpoolctl

from carbjax._estimators.odd_fit import Learnt, Prior, _objective
from carbjax._estimators.odd_kernel import OddKernel, Rows
from carbjax._estimators.odd_likelihood import NUGGET, minus_log_likelihood
from carbjax._estimators.one_thread import in_one_thread
from tests.reference.shapley import shapley_by_subsets

PLAYERS = 5
SIGNS = np.array(
    [[1.0 if s >> i & 1 else -1.0 for i in range(PLAYERS)] for s in range(2**PLAYERS)]
)
SLOPES = np.array([0.3, -0.2, 0.5, 0.1, 0.4])  # of the doubt, an additive game
EVERY = Rows(SIGNS, SIGNS @ SLOPES[:, None])
OF_DOUBT = 2 * SLOPES[:, None]
KERNEL = OddKernel(
    np.array([0.1, 0.5, 1.0, 2.0, 0.02]), np.arange(1.0, 6.0) / 9, np.array([0.7])
)


def _shapley_of_rows(table: np.ndarray) -> np.ndarray:
    """The Shapley value of each column, a game whose rows are coalitions by number."""
    return np.array(
        [
            shapley_by_subsets(lambda s, v=v: float(v[sum(1 << i for i in s)]), PLAYERS)
            for v in table.T
        ]
    ).T


def test_the_covariance_with_a_shapley_value_is_linear_in_that_with_values():
    expected = _shapley_of_rows(KERNEL.covariance(EVERY, EVERY))
    np.testing.assert_allclose(KERNEL.shapley(EVERY, OF_DOUBT), expected, rtol=1e-12)


def test_the_variance_of_a_shapley_value_is_quadratic_in_that_of_values():
    once = _shapley_of_rows(KERNEL.covariance(EVERY, EVERY))
    expected = _shapley_of_rows(once.T).diagonal()
    np.testing.assert_allclose(KERNEL.shapley_variance(OF_DOUBT), expected, rtol=1e-5)


def _sample(number: int = 40) -> tuple[Rows, np.ndarray]:
    rng = np.random.default_rng(0)
    pairs = rng.permutation(2**8)[:number]  # no two rows are of one pair
    signs = np.where(pairs[:, None] >> np.arange(9) & 1, 1.0, -1.0)
    values = np.tanh(signs @ rng.uniform(0.1, 0.5, 9))
    return Rows(signs, signs[:, :1] * values[:, None]), values


def test_the_likelihood_is_that_of_a_normal_vector():
    rows, values = _sample()
    kernel = OddKernel(np.linspace(0.1, 0.6, 9), np.full(9, 0.2), np.array([0.4]))
    covariance = kernel.covariance(rows, rows)
    covariance += NUGGET * covariance.diagonal().mean() * np.eye(len(values))
    scale = values @ np.linalg.solve(covariance, values) / len(values)
    expected = np.linalg.slogdet(scale * covariance)[1] / 2
    found = minus_log_likelihood(kernel, rows, values)
    np.testing.assert_allclose(found.cost, expected, rtol=1e-9)


def test_its_gradient_is_that_of_differences():
    rows, values = _sample()
    prior, log_weight = Prior.of(9, 1), np.linspace(-0.5, 0.5, 9)
    at, step = prior.mean + 0.1, 1e-5
    _, gradient = _objective(at, rows, values, log_weight, prior)
    for k, slope in enumerate(gradient):
        moved = (at + sign * step * np.eye(len(at))[k] for sign in (1, -1))
        up, down = (_objective(x, rows, values, log_weight, prior)[0] for x in moved)
        np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("number", [10, 90])  # from the prior, and from halves
def test_what_is_learnt_is_likeliest(number):
    rows, values = _sample(number)
    prior, log_weight = Prior.of(9, 1), np.zeros(9)
    found = Learnt.of(rows, values, log_weight)
    scaled = values / np.abs(values).max()
    best, _ = _objective(found.parameters, rows, scaled, log_weight, prior)
    rng = np.random.default_rng(1)
    for _ in range(30):
        near = found.parameters + 0.3 * rng.normal(size=len(prior.mean))
        assert _objective(near, rows, scaled, log_weight, prior)[0] > best
    assert found.misjudgement() >= 1.0


def test_of_zeros_nothing_is_learnt():
    rows = Rows.of(np.ones((2, 3)))
    found = Learnt.of(rows, np.zeros(2), np.zeros(3))
    np.testing.assert_array_equal(found.parameters, Prior.of(3, 0).mean)


def test_few_rows_are_solved_in_one_thread():
    def threads() -> list[int]:
        found = threadpoolctl.threadpool_info()
        return [pool["num_threads"] for pool in found if pool["user_api"] == "blas"]

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = threads()
        with in_one_thread(256):
            assert set(threads()) == {1}
        with in_one_thread(4000):
            assert threads() == before
        assert threads() == before
