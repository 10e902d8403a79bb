"""The surrogate of matrix products: monotone, smooth and linear far away."""

import dataclasses as dc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._surrogate.gemm import NUM_FEATURES, Gemm, Residual
from carbjax._surrogate.monotone_network import MonotoneNetwork

ROOFLINE = Gemm(3e-6, 5e-11, 2.5e-13, 1e-13, 1.4e-15, sharpness=2.3)
LOW, HIGH = (1.0, 512.0, 512.0), (32768.0, 65536.0, 65536.0)


def random_gemm(seed: int, sharpness: float = 4.0) -> Gemm:
    """A roofline with a residual that nobody trained: laws must hold all the same."""
    network = MonotoneNetwork.random((NUM_FEATURES, 8, 1), key=jax.random.key(seed))
    network = jax.tree.map(np.asarray, network)
    residual = Residual(network, 0.1 * seed, 132.0, LOW, HIGH)
    return dc.replace(ROOFLINE, sharpness=sharpness, residual=residual)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_latency_never_falls_along_any_size_inside_the_box_and_beyond(axis, seed):
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.uniform(np.log(0.1), np.log(1e6), (3, 200, 1)))
    swept = [np.broadcast_to(s, (200, 2000)) for s in sizes]
    swept[axis] = np.broadcast_to(np.geomspace(0.01, 1e6, 2000), (200, 2000))
    latency = random_gemm(seed).latency(*swept)
    assert (np.diff(latency, axis=1) >= -1e-12 * latency[:, 1:]).all()
    assert (latency > 0).all()


def test_latency_is_linear_far_above_the_box():
    m = np.array([1e6, 2e6, 3e6])
    for latency in (
        random_gemm(1).latency(m, 4096.0, 4096.0),
        random_gemm(1).latency(1.0, m, 4096.0),
    ):
        assert np.allclose(latency, latency[0] * m / m[0], rtol=1e-12)


def test_latency_is_finite_and_differentiable_without_rows():
    gemm = random_gemm(2)
    value, slope = jax.value_and_grad(lambda m: gemm.latency(m, 4096.0, 4096.0))(0.0)
    assert np.isfinite(value) and value > 0
    assert np.isfinite(slope) and slope >= 0


@pytest.mark.parametrize("m", [0.8, 1.1, 90.3, 128.4, 129.7, 30000.0, 40000.0])
def test_gradient_agrees_with_differences(m):
    gemm = random_gemm(3)

    def latency(m):
        return gemm.latency(m, 6144.0, 4096.0)

    step = 1e-6 * m
    difference = (latency(m + step) - latency(m - step)) / (2 * step)
    assert np.isclose(jax.grad(latency)(m), difference, rtol=1e-4, atol=1e-14)


def test_numpy_and_jax_agree_and_float32_stays_close():
    gemm, m = random_gemm(1), np.geomspace(1.0, 1e5, 50)
    plain = gemm.latency(m, 4096.0, 14336.0)
    assert isinstance(plain, np.ndarray)
    assert np.allclose(
        jax.jit(lambda m: gemm.latency(m, 4096.0, 14336.0))(jnp.asarray(m)), plain
    )
    single = gemm.latency(*(np.float32(v) for v in (m, 4096.0, 14336.0, 2.0)))
    assert np.allclose(single, plain, rtol=2e-3)


def test_record_restores_the_surrogate_to_six_digits():
    gemm, m = random_gemm(2), np.geomspace(1.0, 1e5, 50)
    restored = Gemm.from_record(gemm.to_record())
    expected = gemm.latency(m, 4096.0, 4096.0)
    assert np.allclose(restored.latency(m, 4096.0, 4096.0), expected, rtol=1e-4)
    assert restored.to_record() == gemm.to_record()


def test_without_residual_latency_is_the_roofline_computed_by_hand():
    bare = dc.replace(ROOFLINE, sharpness=4.0)
    n, k = 4096.0, 512.0
    floor, rate = 2.5e-13 * 2 * n * k, 1.4e-15 * 2 * 64 * n * k
    by_hand = 3e-6 + 5e-11 * k + 1e-13 * 2 * 64 * (n + k) + (floor**4 + rate**4) ** 0.25
    assert np.isclose(bare.latency(64.0, n, k), by_hand)
