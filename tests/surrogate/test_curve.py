"""Laws of tabulated functions: their values, slopes, sums, precision and ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._surrogate.curve import Curve

SWEEP = np.concatenate([[0.0], np.geomspace(1e-3, 1e7, 20_001)])
LAST_KNOT = 131_071.0


def bent(x):
    """A launch, then weights, then arithmetic; a bounded and a linear component."""
    return 1e-3 + np.sqrt(2e-3**2 + (1e-5 * x) ** 2), 3.0 + 0.5 * x + x / (x + 90.0)


def steps(x):
    """Non-decreasing with jumps, the hardest a curve must stay monotone through."""
    return (1.0 + np.floor(x / 128) + 1e-3 * x,)


def test_a_curve_is_close_to_a_smooth_function():
    for value, expected in zip(Curve.through(bent)(SWEEP), bent(SWEEP), strict=True):
        assert np.max(np.abs(value / expected - 1)) < 1e-4


def test_a_curve_runs_through_the_middle_of_steps():
    curve = Curve.through(steps)
    fine = np.linspace(1024, 4096, 3072, endpoint=False)
    (value,), (expected,) = curve(fine), steps(fine)
    assert abs(np.mean(value - expected)) < 0.1
    assert np.max(np.abs(value - expected)) < 1.1


@pytest.mark.parametrize("function", [bent, steps])
def test_a_curve_never_falls_where_the_function_does_not(function):
    points = jnp.asarray(SWEEP)
    curve = Curve.through(function)
    for component in range(len(curve.coefficients)):
        slopes = jax.vmap(jax.grad(lambda x: curve(x)[component]))(points)  # noqa: B023
        assert jnp.all(slopes >= -1e-12)
        assert jnp.all(jnp.diff(curve(points)[component]) >= -1e-9)


def test_slopes_have_no_jump_at_the_knots():
    curve = Curve.through(bent)
    slope = jax.vmap(jax.grad(lambda x: curve(x)[0]))
    knots = 2.0 ** np.arange(18) - 1
    below, above = (slope(jnp.asarray(knots + side)) for side in (-1e-9, 1e-9))
    assert jnp.allclose(below[1:], above[1:], rtol=1e-5, atol=1e-12)


def test_a_curve_goes_on_as_a_straight_line():
    (far,) = Curve.through(lambda x: (np.sqrt(1 + x**2) + x**1.5,))(
        LAST_KNOT * np.array([1.0, 2.0, 3.0])
    )
    assert np.isclose(far[2] - far[1], far[1] - far[0], rtol=1e-9)


def test_the_sum_of_curves_is_the_curve_of_the_sum():
    a, b = Curve.through(bent), Curve.through(lambda x: (x, 2 + x))
    together = Curve.through(lambda x: tuple(u + v for u, v in zip(bent(x), (x, 2 + x))))
    for value, expected in zip((a + b)(SWEEP), together(SWEEP), strict=True):
        assert np.allclose(value, expected, rtol=1e-12)


def test_float32_agrees():
    curve = Curve.through(bent)
    narrow, wide = curve(jnp.asarray(SWEEP, jnp.float32)), curve(jnp.asarray(SWEEP))
    for a, b in zip(narrow, wide, strict=True):
        assert a.dtype == jnp.float32
        assert np.allclose(a, b, rtol=2e-6)
