"""The table of measured calls, and what is asked of it."""

import numpy as np
import pytest

from carbjax import Profile, ProfileError
from carbjax._profiles.enough import require_enough
from carbjax._profiles.profile import COLUMNS, concatenate
from carbjax._profiles.repeats import average_repeats


def gemms(sizes=(1, 2, 4, 8, 16, 32), **columns) -> Profile:
    latency = 1e-5 * np.arange(1, len(sizes) + 1)
    return Profile.of("gemm", latency, num_tokens=sizes, n=8.0, k=4.0, **columns)


def test_unknown_is_nan_and_absent_is_zero():
    rows = gemms()
    assert np.isnan(rows.power_w).all() and np.isnan(rows.temperature_c).all()
    assert not rows.decode_kv.any() and not rows.power_weight.any()
    assert (rows.weight == 1).all() and (rows.bytes_per_weight == 2).all()


def test_energy_and_power_follow_from_each_other():
    by_power, by_energy = gemms(power_w=500.0), gemms(energy_j=2e-3)
    assert np.allclose(by_power.energy_j, 500.0 * by_power.latency_s)
    assert np.allclose(by_energy.power_w * by_energy.latency_s, 2e-3)
    assert (by_power.power_weight == 1).all() and (by_energy.power_weight == 1).all()


def test_attention_is_even_and_new_tokens_are_those_that_do_not_decode():
    rows = Profile.of(
        "mixed_attention", [1.0], num_tokens=[19.0], decode_tokens=[3.0], decode_kv=[12.0]
    )
    assert rows.prefill_tokens == 16.0
    assert rows.decode_kv_sq == 3 * 4.0**2


def test_one_operator_is_selected_and_the_whole_is_put_together_again():
    both = concatenate(gemms(), Profile.of("idle", [1.0], power_w=[70.0]))
    parts = both.of_operator("gemm"), both.of_operator("idle")
    assert [len(p) for p in parts] == [6, 1] and len(both.of_operator("moe")) == 0
    again = concatenate(*parts)
    for name in COLUMNS:
        assert np.array_equal(
            getattr(both, name),
            getattr(again, name),
            equal_nan=name
            in ("energy_j", "power_w", "power_limit_w", "sm_clock_hz", "temperature_c"),
        )


def test_unknown_operators_and_columns_and_bad_latencies_are_named():
    with pytest.raises(ProfileError, match="'gem'"):
        Profile.of("gem", [1.0])
    with pytest.raises(ProfileError, match="'power'"):
        Profile.of("gemm", [1.0], power=[1.0])
    with pytest.raises(ProfileError, match="row 1 is -1"):
        Profile.of("gemm", np.array([1.0, -1.0]))


def test_the_summary_counts_what_is_there_and_what_is_not():
    text = concatenate(
        gemms(source="a.csv", quarantined={"no latency": 2}, averaged=3),
        gemms(source="b.csv", quarantined={"no latency": 5}),
    ).summary()
    assert "6 gemm, a.csv" in text and "6 gemm, b.csv" in text
    assert "7 left out: no latency" in text and "3 repeats" in text


def test_repeats_are_averaged_and_distrusted_power_does_not_spoil_trusted_power():
    rows = gemms(
        (4, 1, 4, 4), power_w=[300.0, 10.0, 700.0, 1.0], power_weight=[1.0, 1.0, 1.0, 0.0]
    )
    mean = average_repeats(rows)
    assert mean.num_tokens.tolist() == [4.0, 1.0] and mean.averaged == 2
    assert np.allclose(mean.latency_s, [np.mean([1e-5, 3e-5, 4e-5]), 2e-5])
    assert np.allclose(mean.power_w, [500.0, 10.0])
    assert np.allclose(mean.energy_j, mean.latency_s * mean.power_w)


def test_calls_that_differ_in_anything_are_no_repeats():
    rows = concatenate(gemms(), gemms(precision="fp8"), gemms(label="mlp_up_proj"))
    assert len(average_repeats(rows)) == len(rows)


def test_a_fit_needs_rows_and_sizes():
    assert len(require_enough(gemms(), "gemm")) == 6
    with pytest.raises(ProfileError, match="0 rows of all_reduce.*operators: gemm"):
        require_enough(gemms(), "all_reduce")
    with pytest.raises(ProfileError, match="3 rows of gemm"):
        require_enough(gemms((1, 2, 3)), "gemm")
    with pytest.raises(ProfileError, match=r"1 sizes of num_tokens \(64\)"):
        require_enough(gemms((64,) * 8), "gemm")
    with pytest.raises(ProfileError, match="6 more have weight 0"):
        require_enough(gemms(weight=0.0), "gemm")
