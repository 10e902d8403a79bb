"""Profiles of Vidur: sizes under tensor parallelism, both generations of attention."""

import numpy as np
import pytest

from carbjax import ProfileError, read_profile
from carbjax._profiles import vidur
from tests.profiles.files import (
    MLP,
    MLP_OPERATORS,
    REDUCE,
    VIDUR_ATTENTION,
    records,
    write,
)


def mlp_row(degree=2, tokens=64, gated="True", **latency) -> str:
    times = [str(latency.get(name, 0.05)) for name in MLP_OPERATORS]
    return ",".join([*times, "32,8,4096,14336", gated, str(tokens), str(degree)])


def by_label(profile) -> dict:
    return {label: i for i, label in enumerate(profile.label.tolist())}


def test_sizes_are_those_of_one_gpu_of_the_group(tmp_path):
    profile = read_profile(write(tmp_path, MLP, mlp_row()))
    row = by_label(profile)
    shapes = {name: (profile.n[row[name]], profile.k[row[name]]) for name in vidur.GEMMS}
    assert shapes == {
        "attn_pre_proj": ((16 + 2 * 4) * 128, 4096),
        "attn_post_proj": (4096, 16 * 128),
        "mlp_up_proj": (2 * 7168, 4096),
        "mlp_down_proj": (4096, 7168),
    }
    moved = {name: profile.message_bytes[row[name]] / 64 for name in vidur.ELEMENTWISE}
    assert moved["input_layernorm"] == moved["emb"] == 2 * 2 * 4096
    assert moved["attn_rope"] == 2 * 2 * (16 + 4) * 128
    assert moved["mlp_act"] == 2 * 3 * 7168 and moved["add"] == 2 * 3 * 4096


def test_without_a_gate_the_up_projection_is_half_as_wide(tmp_path):
    profile = read_profile(write(tmp_path, MLP, mlp_row(gated="False")))
    assert profile.n[by_label(profile)["mlp_up_proj"]] == 7168


def test_nan_and_zero_times_are_counted_and_others_stay(tmp_path):
    rows = mlp_row(), mlp_row(tokens=65, attn_pre_proj="nan"), mlp_row(tokens=66, add=0.0)
    profile = read_profile(write(tmp_path, MLP, *rows))
    assert len(profile) == 3 * 10 - 2
    assert sorted(profile.quarantined.values()) == [1, 1]


def test_calls_that_timed_another_kernel_are_left_out(tmp_path):
    # The median is that of a product of these sizes, 2 µs is that of a bias.
    rows = [
        mlp_row(1, m, mlp_up_proj=0.002 if m % 3 == 0 else 1e-2 + m * 8e-4)
        for m in range(256, 1200, 128)
    ]
    profile = read_profile(write(tmp_path, MLP, *rows))
    assert profile.quarantined == {
        "latencies too short for their work on any GPU, another kernel was timed": sum(
            m % 3 == 0 for m in range(256, 1200, 128)
        )
    }


@pytest.mark.parametrize("unused", ["", "nan", "0.0"])
def test_the_phase_that_a_row_does_not_have_is_not_looked_at(tmp_path, unused):
    path = write(
        tmp_path,
        VIDUR_ATTENTION,
        f"0.1,{unused},8192,64,8,2,1,64,192,True",
        f"{unused},0.02,8192,64,8,2,5,0,99,False",
        f"{unused},0.02,8192,64,8,2,5,0,0,False",
    )
    profile = read_profile(path)
    prefill, decode = (profile.of_operator(f"{p}_attention") for p in ("prefill", "decode"))
    assert prefill.prefill_pairs.tolist() == [sum(range(193, 257))]
    assert prefill.prefill_kv == 256 and prefill.num_heads == 32
    assert decode.decode_kv.tolist() == [500.0, 5.0] and (decode.num_kv_heads == 4).all()
    assert not profile.quarantined


def test_saving_to_the_cache_is_read_where_it_is_measured(tmp_path):
    header = VIDUR_ATTENTION + ",time_stats.attn_kv_cache_save.median"
    path = write(tmp_path, header, "0.1,,4096,32,8,1,1,64,0,True,0.003")
    saved = read_profile(path).of_operator("elementwise")
    assert saved.num_tokens == 64 and np.allclose(saved.latency_s, 3e-6)
    assert saved.message_bytes == 64 * (2 * 8 * 128) * 2 * 2  # read and written, bf16


def test_all_reduce_stays_inside_one_node(tmp_path):
    path = write(tmp_path, REDUCE, "0.05,2,2048,2,all_reduce", "0.09,2,2048,1,all_reduce")
    one = read_profile(path)
    assert one.num_gpus == 2 and np.allclose(one.latency_s, 5e-5)
    assert one.quarantined == {"all-reduce over several nodes": 1}


def test_a_flag_that_is_no_flag_is_named(tmp_path):
    path = write(tmp_path, VIDUR_ATTENTION, "0.1,,4096,32,8,1,1,64,0,perhaps")
    with pytest.raises(ProfileError, match="row 2, column 'is_prefill'.*'perhaps'"):
        read_profile(path)


def test_the_shared_file_says_the_same_as_a_slow_reader(shared_data):
    path = shared_data / "vidur/compute/a100/meta-llama/Meta-Llama-3-8B/mlp.csv"
    up = read_profile(path)
    up = up.select(up.label == "mlp_up_proj")
    times: dict[tuple, list[float]] = {}
    for row in records(path):
        degree = int(row["num_tensor_parallel_workers"])
        n = 2 * int(row["n_expanded_embd"]) // degree
        key = int(row["num_tokens"]), n, degree
        times.setdefault(key, []).append(float(row["time_stats.mlp_up_proj.median"]))
    keys = zip(up.num_tokens, up.n, up.tensor_parallel, strict=True)
    assert up.averaged // 10 == sum(len(t) - 1 for t in times.values()) == 20
    for key, latency in zip(keys, up.latency_s, strict=True):
        assert latency == pytest.approx(np.mean(times.pop(key)) / 1000)
    assert not times
