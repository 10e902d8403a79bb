"""Readers bring units, duplicates, fallbacks and bad power under control."""

import numpy as np
import pytest

from carbjax._errors import ProfileError
from carbjax._profiles import aiconfigurator as aic, llmservingsim as lss
from carbjax._profiles.profile import Profile


def write(tmp_path, header, *rows):
    path = tmp_path / "profile.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


GEMM = "gemm_dtype,m,n,k,latency,power,power_limit"


def test_gemm_repeats_are_averaged_and_milliseconds_become_seconds(tmp_path):
    path = write(
        tmp_path,
        GEMM,
        "bfloat16,8,512,1024,0.2,300,700",
        "bfloat16,8,512,1024,0.4,400,700",
        "fp8,8,512,1024,0.1,300,700",
    )
    profile = aic.read_gemm(path)
    assert len(profile) == 1
    assert np.allclose(profile.latency_s, 3e-4) and np.allclose(profile.power_w, 350.0)
    assert len(aic.read_gemm(path, "fp8")) == 1


def test_power_of_short_calls_and_of_repeated_readings_is_distrusted(tmp_path):
    path = write(
        tmp_path,
        GEMM,
        "bfloat16,1,512,512,1.0,300,700",
        "bfloat16,2,512,512,0.01,310,700",
        "bfloat16,3,512,512,1.0,320,700",
        "bfloat16,4,512,512,1.0,320,700",
        "bfloat16,5,512,512,1.0,690,700",
        "bfloat16,6,512,512,1.0,690,700",
    )
    weight = aic.read_gemm(path).power_weight
    assert np.allclose(weight, [1.0, 0.01, 0.1, 0.1, 1.0, 1.0])


ATTENTION = (
    "kernel_source,batch_size,isl,num_heads,num_key_value_heads,head_dim,"
    "attn_dtype,kv_cache_dtype,step,window_size,latency"
)


def test_attention_keeps_full_bf16_attention_of_fast_kernels_alone(tmp_path):
    path = write(
        tmp_path,
        ATTENTION,
        "vllm_flash_attn,2,4,8,2,128,bfloat16,bfloat16,0,0,1.0",
        "vllm_triton_attn,4,4,8,2,128,bfloat16,bfloat16,0,0,9.0",
        "vllm_flash_attn,8,4,8,2,128,bfloat16,fp8,0,0,1.0",
        "vllm_flash_attn,16,4,8,2,128,bfloat16,bfloat16,0,128,1.0",
    )
    profile = aic.read_context_attention(path)
    assert profile.prefill_pairs.tolist() == [2 * (1 + 2 + 3 + 4)]
    assert profile.prefill_kv.tolist() == [8.0]


def test_decode_context_is_the_new_token_and_what_was_cached(tmp_path):
    row = "vllm_flash_attn,3,1,8,2,128,bfloat16,bfloat16,99,0,1.0"
    profile = aic.read_generation_attention(write(tmp_path, ATTENTION, row))
    assert profile.decode_kv.tolist() == [300.0]
    assert profile.decode_bytes.tolist() == [300.0 * 2 * 2 * 2 * 128]


def test_all_reduce_messages_are_elements_of_two_bytes_inside_graphs(tmp_path):
    path = write(
        tmp_path,
        "backend,num_gpus,message_size,latency",
        "vllm_graph,2,128,0.005",
        "vllm_eager,2,128,0.05",
    )
    profile = aic.read_all_reduce(path)
    assert profile.message_bytes.tolist() == [256.0]
    assert np.allclose(profile.latency_s, 5e-6)


def test_a_missing_column_a_missing_file_and_bad_latency_are_named(tmp_path):
    path = write(tmp_path, "gemm_dtype,m,n,latency", "bfloat16,1,2,3")
    with pytest.raises(ProfileError, match="column 'k'"):
        aic.read_gemm(path)
    with pytest.raises(ProfileError, match="absent.csv"):
        aic.read_gemm(tmp_path / "absent.csv")
    with pytest.raises(ProfileError, match="row 1 is -1"):
        Profile.of("gemm", np.array([1.0, -1.0]))


def test_mixed_batches_have_features_of_both_phases(shared_data):
    path = shared_data / "llmservingsim/rtxpro6000_llama31_8b_tp1/attention.csv"
    rows = lss.read_mixed_attention(path, num_heads=32, num_kv_heads=8, head_dim=128)
    decode_only = rows.prefill_kv == 0
    assert np.all(rows.prefill_pairs[decode_only] == 0)
    assert 5e-6 < rows.latency_s.min() and rows.latency_s.max() < 0.1
