"""carbjax's own format: what is written is read again, and what is wrong is named."""

import dataclasses as dc
import json

import numpy as np
import pytest

from carbjax import OutputError, Profile, ProfileError, read_profile
from carbjax._profiles.profile import COLUMNS, TEXT_COLUMNS, concatenate
from tests.profiles.files import OWN_GEMM, own_gemms, write


def measured() -> Profile:
    gemm = Profile.of(
        "gemm",
        [1e-5, 2e-5],
        num_tokens=[1.0, 256.0],
        n=4096.0,
        k=4096.0,
        power_w=[300.0, np.nan],
        sm_clock_hz=1.7e9,
        source="bench",
        label="qkv",
    )
    idle = Profile.of("idle", [5.0], power_w=[75.0], temperature_c=[31.0])
    return dc.replace(concatenate(gemm, idle), quarantined={"too hot": 2}, averaged=4)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    path, profile = tmp_path / f"p.{suffix}", measured()
    getattr(profile, f"to_{suffix}")(path)
    again = read_profile(path)
    for name in COLUMNS:
        before, after = getattr(profile, name), getattr(again, name)
        assert np.array_equal(before, after, equal_nan=name not in TEXT_COLUMNS), name
    if suffix == "parquet":
        assert (again.quarantined, again.averaged) == ({"too hot": 2}, 4)


def test_two_columns_and_the_sizes_are_enough(tmp_path):
    profile = read_profile(write(tmp_path, OWN_GEMM, *own_gemms()))
    assert profile.label.tolist() == ["gemm"] * 4 and np.isnan(profile.power_w).all()
    assert (profile.bytes_per_weight == 2).all() and (profile.weight == 1).all()
    assert Profile.of("moe", [1e-5]).expert_parallel == 1


def test_an_empty_cell_is_an_absent_column(tmp_path):
    header = OWN_GEMM + ",bytes_per_weight,power_w,energy_j,weight"
    rows = "gemm,2e-5,64,4096,4096,,,8e-3,", "gemm,2e-5,65,4096,4096,1,300,,0"
    profile = read_profile(write(tmp_path, header, *rows))
    assert profile.bytes_per_weight.tolist() == [2, 1] and profile.weight.tolist() == [1, 0]
    assert np.allclose(profile.power_w, [400, 300]) and (profile.power_weight == 1).all()
    assert np.allclose(profile.energy_j, [8e-3, 6e-3])


def test_lines_of_json_are_read_too(tmp_path):
    record = {"operator": "gemm", "latency_s": 1e-5, "num_tokens": 1, "n": 512, "k": 512}
    assert len(read_profile(write(tmp_path, json.dumps(record), name="p.jsonl"))) == 1


def test_power_comes_from_energy_where_it_is_not_given(tmp_path):
    path = write(tmp_path, OWN_GEMM + ",energy_j", "gemm,2e-5,64,4096,4096,8e-3")
    profile = read_profile(path)
    assert np.allclose(profile.power_w, 400.0) and profile.power_weight == 1


def test_energy_in_millijoules_is_refused(tmp_path):
    path = write(tmp_path, OWN_GEMM + ",energy_j", "gemm,2e-5,64,4096,4096,8")
    with pytest.raises(ProfileError, match="row 2, column 'energy_j'.*in mJ"):
        read_profile(path)


def test_power_in_milliwatts_is_refused(tmp_path):
    path = write(tmp_path, OWN_GEMM + ",power_w", "gemm,2e-5,64,4096,4096,412000")
    with pytest.raises(ProfileError, match="row 2, column 'power_w'.*in mW"):
        read_profile(path)


def test_power_above_the_limit_is_counted(tmp_path):
    rows = (f"gemm,2e-5,{m},4096,4096,{p},700" for m, p in ((64, 699), (65, 800)))
    profile = read_profile(write(tmp_path, OWN_GEMM + ",power_w,power_limit_w", *rows))
    assert np.isfinite(profile.power_w).tolist() == [True, False]
    assert list(profile.quarantined.values()) == [1]


def test_columns_that_an_operator_needs_are_all_named(tmp_path):
    path = write(tmp_path, "operator,latency_s,n", "gemm,1e-5,8", "all_reduce,1e-5,0")
    with pytest.raises(ProfileError) as caught:
        read_profile(path)
    for name in ("num_tokens", "k", "num_gpus", "message_bytes"):
        assert f"'{name}'" in str(caught.value)


def test_a_size_that_is_missing_in_one_row_is_named(tmp_path):
    path = write(tmp_path, OWN_GEMM, *own_gemms(), "gemm,1e-5,,4096,4096")
    with pytest.raises(ProfileError, match="row 6, column 'num_tokens'"):
        read_profile(path)


def test_a_misspelt_column_and_operator_are_named(tmp_path):
    path = write(tmp_path, OWN_GEMM + ",power", *(f"{r},300" for r in own_gemms()))
    with pytest.raises(ProfileError, match="'power'.*power_w"):
        read_profile(path)
    path = write(tmp_path, OWN_GEMM, *own_gemms(), "gemv,1e-5,1,8,8")
    with pytest.raises(ProfileError, match="row 6, column 'operator'.*'gemv'"):
        read_profile(path)


def test_a_profile_that_cannot_be_written_says_where(tmp_path):
    for write_to in (measured().to_csv, measured().to_parquet):
        with pytest.raises(OutputError, match="absent"):
            write_to(tmp_path / "absent" / "p")
