"""Laws of the pieces: rooflines, smooth extremes, the interaction, transfer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._fitting.fit import GpuFacts
from carbjax._fitting.power_fits import transfer_power
from carbjax._surrogate.attention_kernels import Interaction
from carbjax._surrogate.gemm import Gemm
from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.smooth import smooth_max, smooth_min

GEMM = Gemm(3e-6, 5e-11, 2.4e-13, 9e-14, 1.4e-15)
POWER = PowerModel(150.0, 690.0, 1e-10, 1e-12)
POSITIVE = jnp.asarray(np.geomspace(1e-9, 1e3, 50))


def test_smooth_extremes_bound_the_sharp_ones():
    a, b = POSITIVE, POSITIVE[::-1]
    assert jnp.all(smooth_max(a, b) >= jnp.maximum(a, b))
    assert jnp.all(smooth_max(a, b) <= jnp.sqrt(2.0) * jnp.maximum(a, b) * (1 + 1e-12))
    assert jnp.all(smooth_min(a, b) <= jnp.minimum(a, b))
    assert jnp.all(smooth_min(a, b) >= 2 ** (-1 / 16) * jnp.minimum(a, b) * (1 - 1e-12))


def test_smooth_max_has_a_gradient_at_zero():
    slopes = jax.grad(smooth_max, argnums=(0, 1))(jnp.asarray(0.0), jnp.asarray(0.0))
    assert slopes == (0.0, 0.0)


def test_a_gemm_reaches_its_two_rooflines():
    n, k = 8192.0, 4096.0
    gemm = GEMM.roofline(n, k, POWER)
    weights_alone, _ = gemm(jnp.asarray(1e-6))
    expected = 3e-6 + 5e-11 * k + 2.4e-13 * 2 * n * k
    assert jnp.allclose(weights_alone, expected, rtol=1e-9)
    slope = jax.grad(lambda m: gemm(m)[0])(jnp.asarray(1e9))
    assert jnp.allclose(slope, 1.4e-15 * 2 * n * k + 9e-14 * 2 * (n + k), rtol=1e-6)


def test_energy_is_linear_below_the_cap_and_the_cap_above_it():
    gemm = GEMM.roofline(8192.0, 4096.0, POWER)
    latency, energy = gemm(jnp.asarray(1.0))
    moved = 2 * 8192 * 4096 + 2 * (8192 + 4096)
    free = 150.0 * latency + 1e-10 * moved + 1e-12 * 2 * 8192 * 4096
    assert jnp.allclose(energy, free, rtol=0.01)
    latency, energy = gemm(jnp.asarray(8192.0))
    assert jnp.allclose(energy / latency, 690.0, rtol=0.01)


@pytest.mark.parametrize("sharpness", [1.0, 30.0])
def test_the_interaction_is_absent_without_either_and_bounded_with_both(sharpness):
    mixed = Interaction(0.7, 3.0, sharpness)
    zero = jnp.zeros_like(POSITIVE)
    assert jnp.all(mixed.latency(zero, POSITIVE, POSITIVE) == 0)
    assert jnp.all(mixed.latency(POSITIVE, zero, zero) == 0)
    extra = mixed.latency(POSITIVE, POSITIVE[::-1], POSITIVE[::-1])
    assert jnp.all((extra > 0) & (extra < 3.7 * POSITIVE[::-1]))


def test_the_interaction_is_of_degree_one():
    mixed = Interaction(0.7, 3.0, 30.0)
    arguments = [jnp.asarray(v) for v in (2e-3, 1e-3, 4e-4)]
    doubled = mixed.latency(*(2 * v for v in arguments))
    assert jnp.allclose(doubled, 2 * mixed.latency(*arguments), rtol=1e-12)


def test_transferred_power_draws_the_same_share_of_the_limit():
    source = GpuFacts("source", 4e12, 1e15, 5e7, 700.0)
    target = GpuFacts("target", 2e12, 3e14, 4e7, 400.0)
    moved = transfer_power({"gemm": dict(vars(POWER))}, source, target)["gemm"]
    assert np.isclose(moved["byte_energy"] * 2e12 / 400, 1e-10 * 4e12 / 700)
    assert np.isclose(moved["flop_energy"] * 3e14 / 400, 1e-12 * 1e15 / 700)
    assert np.isclose(moved["max_power"] / 400, 690 / 700)
