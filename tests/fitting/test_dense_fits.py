"""Fits of dense operators find what made the rows, and predict sizes never seen."""

import numpy as np
import pytest

from carbjax._errors import ProfileError
from carbjax._fitting import gemm_fit, splits
from carbjax._fitting.fit import GpuFacts, usable_gemms
from carbjax._fitting.gemm_fit import fit_gemm, fit_gemm_with_errors, gemm_latency
from carbjax._fitting.report import errors
from carbjax._fitting.token_fit import fit_token_spline, fit_token_spline_with_errors
from carbjax._profiles.aiconfigurator import read_gemm
from carbjax._profiles.profile import Profile
from carbjax._profiles.read import read_profile
from carbjax._surrogate.gemm import Gemm

H200 = GpuFacts("h200-sxm", 4.8e12, 989e12, 50e6, 700.0)
TRUE = Gemm(4e-6, 8e-11, 2.4e-13, 1e-13, 1.5e-15, sharpness=2.5)
DENSE = (
    "attn_pre_proj attn_post_proj mlp_up_proj mlp_down_proj "
    "mlp_act input_layernorm attn_rope add"
).split()


def made_profile(num_shapes: int, noise: float) -> Profile:
    """Products timed by a known roofline, with multiplicative noise."""
    rng = np.random.default_rng(0)
    shape = np.round(np.exp(rng.uniform(np.log(1024), np.log(32768), (2, num_shapes))))
    m = np.geomspace(1, 16384, 12).round()
    n, k = (np.repeat(s, len(m)) for s in shape)
    m = np.tile(m, num_shapes)
    latency = np.asarray(TRUE.latency(m, n, k))
    latency = latency * np.exp(noise * rng.normal(size=len(m)))
    return Profile.of("gemm", latency, num_tokens=m, n=n, k=k)


def every(rows) -> np.ndarray:
    return np.ones(len(rows), dtype=bool)


def test_few_products_give_the_roofline_that_made_them():
    profile = made_profile(6, noise=0.02)
    found = fit_gemm_with_errors(profile, H200, every(profile))
    assert found.gemm.residual is None
    m, other = np.geomspace(1, 1e5, 40), 20480.0
    ratio = found.gemm.latency(m, other, 2048.0) / TRUE.latency(m, other, 2048.0)
    assert np.abs(np.log(ratio)).max() < 0.06
    sd = np.sqrt(np.diag(found.covariance))
    names = ("launch", "k_latency", "weight_byte", "activation_byte", "flop")
    off = [np.log(getattr(found.gemm, v) / getattr(TRUE, v)) for v in names]
    assert (np.abs(off) < 4 * sd[:5] + 0.02).all()


def test_a_single_odd_row_hardly_moves_the_fit():
    profile = made_profile(6, noise=0.01)
    clean = gemm_latency(fit_gemm(profile, H200, every(profile)), profile)
    profile.latency_s[30] *= 20
    spoilt = gemm_latency(fit_gemm(profile, H200, every(profile)), profile)
    assert np.abs(np.log(spoilt / clean)).max() < 0.05


def test_unseen_shapes_of_the_h200_are_predicted(shared_data):
    path = shared_data / "aiconfigurator" / "h200_sxm" / "gemm.csv.gz"
    profile = usable_gemms(read_gemm(path), H200)
    (train, test), *_ = splits.unseen_shapes(profile.n, profile.k, offset=4).folds
    gemm = fit_gemm(profile, H200, train)
    found = errors(gemm_latency(gemm, profile)[test], profile.latency_s[test])
    assert found.mape <= 4 and found.p95 <= 10


def test_the_same_seed_gives_the_same_surrogate(monkeypatch):
    monkeypatch.setattr(gemm_fit, "_STEPS", 80)  # far from converged, and quick
    profile = made_profile(90, noise=0.05)
    first, second, third = (
        fit_gemm(profile, H200, every(profile), seed=s).to_record() for s in (0, 0, 1)
    )
    assert first == second != third


@pytest.mark.parametrize("num_rows", [8, 200])
def test_spline_finds_the_roofline_that_made_the_rows(num_rows):
    def true(x):
        return 3e-6 + np.hypot(2e-5, 1e-7 * x)

    x = np.geomspace(1, 8192, num_rows)
    noise = np.exp(0.02 * np.random.default_rng(0).normal(size=num_rows))
    spline = fit_token_spline(x, true(x) * noise, every(x))
    inside, beyond = np.geomspace(1, 8192, 50), np.array([32768.0, 131072.0])
    assert np.abs(spline.latency(inside) / true(inside) - 1).max() < 0.05
    assert np.abs(spline.latency(beyond) / true(beyond) - 1).max() < 0.1


def test_spline_follows_its_prior_where_there_are_no_rows():
    x = np.geomspace(1, 64, 20)
    spline = fit_token_spline(
        x, np.full(20, 1e-4), every(x), prior=lambda m: 1e-4 + 1e-6 * m, up_to=65536.0
    )
    rise = spline.latency(np.array([65536.0])) / spline.latency(np.array([4096.0]))
    assert np.isclose(rise[0], (1e-4 + 65536e-6) / (1e-4 + 4096e-6), rtol=0.1)


def test_spline_is_less_certain_where_rows_are_few():
    x = np.concatenate([np.geomspace(1, 64, 300), [256.0, 1024.0, 4096.0]])
    noise = np.exp(0.03 * np.random.default_rng(1).normal(size=len(x)))
    found = fit_token_spline_with_errors(x, (1e-5 + 1e-7 * x) * noise, every(x))
    at_16, at_1024 = (int(np.log2(v) / found.spline.spacing) for v in (16, 1024))
    assert found.log_sd[at_1024] > 2 * found.log_sd[at_16]


def test_three_sizes_are_too_few_for_a_curve():
    x = np.array([1.0, 2.0, 4.0])
    with pytest.raises(ProfileError, match="3 sizes are too few"):
        fit_token_spline(x, x * 1e-6, every(x))


@pytest.mark.parametrize("degree", [1, 2])
def test_dense_operators_of_a_layer_between_and_beyond_the_sizes_seen(shared_data, degree):
    path = shared_data / "vidur/compute/a100/meta-llama/Meta-Llama-3-8B/mlp.csv"
    profile = read_profile(path)
    profile = profile.select(profile.tensor_parallel == degree)
    found = {"interpolation": [], "extrapolation": []}
    for name in DENSE:
        rows = profile.select(profile.label == name)
        m = rows.num_tokens
        for split in (splits.interpolation(m), splits.extrapolation(m)):
            (train, test), *_ = split.folds
            latency = fit_token_spline(m, rows.latency_s, train).latency(m)
            found[split.name].append(errors(latency[test], rows.latency_s[test]).mape)
    assert np.mean(found["interpolation"]) <= 3.2
    assert np.mean(found["extrapolation"]) <= 3.0
