"""A fit finds the operators that made a profile, and refuses what it cannot fit."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import carbjax as cj
from carbjax._fitting.report import from_dict
from carbjax._fitting.series import series_of
from carbjax._profiles.profile import concatenate
from tests import made_up_profiles as profiles

NOISE = 0.02


@pytest.fixture(scope="module")
def surrogate() -> cj.Surrogate:
    return cj.fit_profile(profiles.whole(NOISE), base=profiles.BASE)


def test_held_out_errors_are_about_the_noise(surrogate):
    report = from_dict(surrogate.errors)
    quantities = {line.quantity for line in report.lines}
    assert quantities == {
        f"{name} latency" for name in ("gemm", "prefill_attention", "decode_attention")
    }
    assert {"interpolation", "extrapolation", "unseen shapes"} == {
        line.split for line in report.lines
    }
    for line in report.lines:
        # The mean size of a normal error of that spread is 0.8 times the spread.
        most = 4 * NOISE if line.split == "extrapolation" else 2.5 * NOISE
        assert 0.4 * NOISE < line.errors.mape / 100 < most, line


def test_what_was_fitted_is_what_made_the_profile(surrogate):
    """Between the rows latencies are the formulas; what was not measured is the base's."""
    columns = (900.0, 40.0, 860 * 861 / 2, 860.0, 40.0, 40 * 1500.0, 40 * 1500.0**2)
    batch = cj.BatchFeatures(*(jnp.array([x]) for x in columns))
    ours = cj.System.load(profiles.BASE, surrogate=surrogate)
    found, base = ours.operator_costs(batch), cj.System.load(profiles.BASE)
    layers = ours.model.num_layers
    for name, latency in (
        ("qkv_projection", profiles.gemm_s(900.0, 6144, 4096)),
        ("prefill_attention", profiles.prefill_s(860.0, 0.0)),
        ("decode_attention", profiles.decode_s(40.0, 1500.0)),
    ):
        assert float(found[name][0][0]) == pytest.approx(layers * latency, rel=0.06), name
    for name in ("gaps", "elementwise"):
        np.testing.assert_allclose(found[name][0], base.operator_costs(batch)[name][0])
    assert surrogate.fit.host == cj.Surrogate.shipped(profiles.BASE).fit.host


def test_it_says_what_it_took_over(surrogate):
    operators, powers = surrogate.record["remarks"]
    assert "host" in operators and "all_reduce" in operators and profiles.BASE in operators
    assert "decode_attention" not in operators and "decode_attention" in powers
    assert surrogate.record["sources"]["gemm"] == "made up"


def test_the_box_is_what_the_rows_span(surrogate):
    box = surrogate.validity
    assert box["num_tokens"] == [1, 8192] and box["num_sequences"] == [1, 256]
    assert box["prompt_tokens"] == [64, 8192] and box["context_tokens"] == [64, 16384]
    assert box["gemm_columns_and_depth"] == [4096, 28672]


def test_uncertainty_grows_with_the_noise(surrogate):
    noisier = cj.fit_profile(profiles.gemms(4 * NOISE), base=profiles.BASE)
    for name in ("weight_byte", "flop", "launch"):
        before = surrogate.record["uncertainty"]["gemm"][name]
        assert 0 < before < noisier.record["uncertainty"]["gemm"][name] < 3.0


def test_the_same_seed_gives_the_same_file(surrogate, tmp_path):
    again = cj.fit_profile(profiles.whole(NOISE), base=profiles.BASE)
    for name, fitted in (("a", surrogate), ("b", again)):
        fitted.save(tmp_path / name)
    first, second = (json.loads((tmp_path / name).read_text()) for name in "ab")
    first.pop("fitted_on")
    second.pop("fitted_on")
    assert first == second


def test_a_line_of_the_figure_holds_measured_calls_by_size(surrogate):
    profile = profiles.whole(NOISE)
    lines = series_of(surrogate, profile)
    assert {line.operator for line in lines} == set(profile.operator)
    for line in lines:
        assert (np.diff(line.size) > 0).all() and np.isin(
            line.latency_s, profile.latency_s
        ).all()
        np.testing.assert_allclose(line.fitted_latency_s, line.latency_s, rtol=0.15)


def test_without_a_base_it_lists_what_is_missing():
    with pytest.raises(cj.ProfileError, match="host, gaps.*h100-sxm") as caught:
        cj.fit_profile(profiles.whole(), accelerator="h200-sxm")
    assert "gemm," not in str(caught.value).split("gemm_fp8")[0]
    with pytest.raises(cj.ConfigError, match="which GPU"):
        cj.fit_profile(profiles.whole())


def test_too_few_rows_are_refused_by_name():
    few = profiles.gemms()
    few = few.select((few.n == 6144) & (few.num_tokens < 8))
    with pytest.raises(cj.ProfileError, match="3 rows of gemm"):
        cj.fit_profile(concatenate(few, profiles.decodes()), base=profiles.BASE)


def test_a_single_size_is_refused_by_name():
    one_size = profiles.gemms()
    one_size = one_size.select(one_size.num_tokens == 64)
    with pytest.raises(cj.ProfileError, match=r"gemm was measured at 1 sizes.*\(64\)"):
        cj.fit_profile(concatenate(one_size, one_size), base=profiles.BASE)


def test_another_gpu_takes_powers_as_shares_of_its_limit():
    mine = cj.fit_profile(profiles.gemms(), accelerator="a100-sxm", base="h100-sxm")
    h100 = cj.Surrogate.shipped("h100-sxm").record["power"]["gemm"]
    share = mine.record["power"]["gemm"]["max_power"] / h100["max_power"]
    assert share == pytest.approx(400 / 700, rel=1e-5)
    assert any("another GPU" in remark for remark in mine.record["remarks"])
