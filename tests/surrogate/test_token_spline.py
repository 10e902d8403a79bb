"""Splines of one count, and kernels that move bytes: monotone, smooth, linear far away."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from carbjax._surrogate.streaming import Streaming
from carbjax._surrogate.token_spline import TokenSpline, slope_integrals

COUNTS = np.concatenate([[0.0], np.geomspace(1e-3, 1e7, 4001)])


def random_spline(seed: int) -> TokenSpline:
    slopes = np.maximum(np.random.default_rng(seed).normal(0.5, 0.6, 12), 0.0)
    return TokenSpline(1.0, 0.5, np.log(4e-6), slopes)


@pytest.mark.parametrize("seed", range(4))
def test_latency_is_positive_and_never_falls(seed):
    latency = random_spline(seed).latency(COUNTS)
    assert (latency > 0).all()
    assert (np.diff(latency) >= -1e-15 * latency[1:]).all()


def test_latency_is_a_launch_far_below_and_proportional_far_above():
    spline = random_spline(0)
    low, high = np.array([0.0, 0.1, 1.0]), np.array([1e6, 2e6, 8e6])
    assert np.allclose(spline.latency(low), 4e-6)
    assert np.allclose(spline.latency(high) / high, spline.latency(high)[0] / 1e6)


def test_latency_is_the_integral_of_its_slopes():
    spline = random_spline(1)
    knots = spline.first + spline.spacing * np.arange(-1, 13)
    slopes = np.concatenate([[0.0], spline.slopes, [1.0]])
    area = quad(lambda x: np.interp(x, knots, slopes), knots[0], 5.3, points=knots[:10])[0]
    assert np.isclose(spline.latency(2.0**5.3), 4e-6 * 2.0**area)


@pytest.mark.parametrize("x", [1.3, 2.0, 2.0**1.5, 17.0, 2.0**6.5, 500.0])
def test_slope_is_continuous_and_agrees_with_differences(x):
    spline = random_spline(2)
    step = 1e-7 * x
    left, right = (jax.grad(lambda x: spline.latency(x))(x + s) for s in (-step, step))
    assert np.isclose(left, right, rtol=1e-5, atol=1e-14)
    difference = (spline.latency(x + step) - spline.latency(x - step)) / (2 * step)
    assert np.isclose(right, difference, rtol=1e-4, atol=1e-14)


def test_slope_integrals_give_the_latency_of_the_spline():
    spline = random_spline(3)
    counts = np.geomspace(0.5, 1e4, 77)
    matrix, beyond = slope_integrals(np.log2(counts), 1.0, 0.5, 12)
    linear = np.log(4e-6) + matrix @ spline.slopes + beyond
    assert np.allclose(linear, np.log(spline.latency(counts)))


def test_record_restores_the_spline_and_jax_agrees():
    spline = random_spline(1)
    restored = TokenSpline.from_record(spline.to_record())
    assert np.allclose(restored.latency(COUNTS), spline.latency(COUNTS), rtol=1e-4)
    jitted = jax.jit(lambda x: spline.latency(x))(jnp.asarray(COUNTS))
    assert np.allclose(jitted, spline.latency(COUNTS))


def test_streaming_has_one_rate_near_and_another_far():
    kernel = Streaming(2e-6, 2e-13, 5e-13, 6e7)
    launch, near = kernel.latency(np.array([0.0, 1e6]))
    assert np.isclose(launch, 2e-6) and np.isclose(near - launch, 2e-13 * 1e6, rtol=0.02)
    far = np.diff(kernel.latency(np.array([1e9, 2e9])))[0] / 1e9
    assert np.isclose(far, 7e-13, rtol=1e-4)
    assert (np.diff(kernel.latency(np.geomspace(1.0, 1e9, 500))) > 0).all()
