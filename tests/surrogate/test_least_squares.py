"""The robust fit finds what is there, and says so when it does not."""

import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._errors import ProfileError
from carbjax._fitting.least_squares import least_squares


def line(outliers=0):
    rng = np.random.default_rng(0)
    x = np.linspace(0, 10, 200)
    y = 3.0 + 0.5 * x + 0.01 * rng.standard_normal(200)
    y[:outliers] += 5.0
    return lambda p: p[0] + p[1] * x - y


def test_it_equals_ordinary_least_squares_on_clean_data():
    found = least_squares(line(), np.zeros(2), huber=1e6, prior_scale=1e6)
    x = np.linspace(0, 10, 200)
    residual = np.asarray(line()(jnp.zeros(2)))
    expected = np.linalg.lstsq(np.stack([np.ones(200), x], axis=1), -residual, rcond=None)
    assert np.allclose(found.parameters, expected[0], rtol=1e-6)


def test_outliers_move_it_a_tenth_of_what_they_move_ordinary_least_squares():
    robust, plain = (
        least_squares(line(outliers=20), np.zeros(2), huber=h, prior_scale=1e3).parameters
        for h in (0.02, 1e6)
    )
    truth = np.array([3.0, 0.5])
    assert np.all(np.abs(robust - truth) < 0.1 * np.abs(plain - truth))


def test_rows_without_weight_do_not_count():
    weights = (np.arange(200) >= 20).astype(float)
    found = least_squares(line(outliers=20), np.zeros(2), weights=weights, huber=1e6)
    assert np.allclose(found.parameters, [3.0, 0.5], atol=0.01)


def test_the_prior_holds_what_the_data_leave_free():
    found = least_squares(
        lambda p: jnp.stack([p[0] - 2.0]), np.array([0.0, 7.0]), prior_scale=100.0
    )
    assert abs(found.parameters[0] - 2.0) < 0.01 and found.parameters[1] == 7.0


def test_it_refuses_to_return_what_did_not_converge():
    with pytest.raises(ProfileError, match="did not converge"):
        least_squares(line(), np.array([100.0, -50.0]), max_iterations=1)
