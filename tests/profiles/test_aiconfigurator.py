"""Tables of aiconfigurator: precisions, kernels, elements, cache-warm weights, power."""

import numpy as np

from carbjax import read_profile
from carbjax._profiles import aiconfigurator as aic
from carbjax._profiles.power_trust import power_trust
from tests.profiles.files import ATTENTION, GEMM, write


def test_repeats_are_averaged_and_milliseconds_become_seconds(tmp_path):
    rows = "bfloat16,8,512,1024,0.02,300,700", "bfloat16,8,512,1024,0.04,400,700"
    path = write(tmp_path, GEMM, *rows, "fp8,8,512,1024,0.01,301,700")
    profile = read_profile(path)
    assert np.allclose(profile.latency_s, 3e-5) and profile.averaged == 1
    assert 300 < profile.power_w < 400 and profile.power_limit_w == 700
    assert profile.quarantined == {"precisions other than bfloat16": 1}


def test_every_precision_can_be_read_with_the_bytes_of_its_weights(tmp_path):
    kinds = {"bfloat16": 2.0, "fp8_block": 1.0, "nvfp4": 0.5}
    rows = [f"{kind},8,512,1024,0.02,300,700" for kind in kinds]
    path = write(tmp_path, GEMM, *rows)
    profile = read_profile(path, precision=None)
    assert dict(zip(profile.precision, profile.bytes_per_weight, strict=True)) == kinds
    assert aic.read_gemm(path, "nvfp4").precision.tolist() == ["nvfp4"]


LIMIT = np.full(6, 700.0)


def test_power_of_short_calls_and_of_repeated_readings_is_distrusted():
    power = np.array([300, 300.1, 300.2, 300.2, 690, 690.0])
    latency = np.array([1.0, 0.01, 1.0, 1.0, 1.0, 1.0]) * 1e-3
    trust = power_trust(power, LIMIT, latency)
    assert np.allclose(trust, [1.0, 0.01, 0.1, 0.1, 1.0, 1.0], rtol=1e-2)


def test_power_after_another_power_is_distrusted_by_what_can_carry_over():
    long = np.full(6, 1e-3)
    steps = [
        power_trust(np.array([400.0, 400 + d] + [1.0] * 4), LIMIT, long)[1]
        for d in (1, 10, 100, 250)
    ]
    assert steps == sorted(steps, reverse=True) and steps[0] > 0.99 and steps[-1] < 0.3
    # A third of a step of 15% is an error of 5%, which halves the trust.
    half = power_trust(np.array([340.0, 400.0] + [1.0] * 4), LIMIT, long)[1]
    assert np.isclose(half, 0.5)
    assert power_trust(np.array([100.0, 690.0] + [1.0] * 4), LIMIT, long)[1] == 1.0


def test_trusted_power_agrees_better_with_its_neighbours_in_size(shared_data):
    rows = aic.read_gemm(shared_data / "aiconfigurator/h200_sxm/gemm.csv.gz")
    order = np.lexsort((rows.num_tokens, rows.k, rows.n))
    power, trust = rows.power_w[order], rows.power_weight[order]
    same = (np.diff(rows.n[order]) == 0) & (np.diff(rows.k[order]) == 0)
    step = np.abs(np.diff(power)) / power[1:]
    pair = np.minimum(trust[1:], trust[:-1])
    trusted, rest = step[same & (pair > 0.5)], step[same & (pair < 0.1)]
    assert len(trusted) > 3000 and np.median(trusted) < np.median(rest) / 3


def test_power_above_the_limit_is_dropped_and_a_small_overshoot_kept(tmp_path):
    rows = [f"bfloat16,{m},4096,4096,0.2,{p},700" for m, p in ((1, 719), (2, 900), (3, 0))]
    profile = read_profile(write(tmp_path, GEMM, *rows))
    assert np.array_equal(profile.power_w, [719.0, np.nan, np.nan], equal_nan=True)
    assert profile.power_weight.tolist() == [1.0, 0.0, 0.0]
    assert sorted(profile.quarantined.values()) == [1, 1]


def test_weights_that_stay_in_the_cache_do_not_count_unless_flops_take_the_time(tmp_path):
    rows = ("8,2048,2048,0.004", "16384,2048,2048,0.2", "8,65536,4096,0.15")
    header = "device,gemm_dtype,m,n,k,latency"
    path = write(tmp_path, header, *(f"NVIDIA H200,bfloat16,{row}" for row in rows))
    assert read_profile(path).weight.tolist() == [0.0, 1.0, 1.0]
    unknown = write(tmp_path, header, *(f"Another GPU,bfloat16,{row}" for row in rows))
    assert read_profile(unknown).weight.tolist() == [1.0, 1.0, 1.0]


def test_attention_keeps_full_bf16_attention_of_fast_kernels_alone(tmp_path):
    path = write(
        tmp_path,
        ATTENTION,
        "context_attention,vllm_flash_attn,2,4,8,2,128,bfloat16,bfloat16,0,0,0.01",
        "context_attention,vllm_triton_attn,4,4,8,2,128,bfloat16,bfloat16,0,0,0.09",
        "context_attention,vllm_flash_attn,8,4,8,2,128,bfloat16,fp8,0,0,0.01",
        "context_attention,vllm_flash_attn,16,4,8,2,128,bfloat16,bfloat16,0,128,0.01",
    )
    profile = read_profile(path)
    assert profile.operator.tolist() == ["prefill_attention"]
    assert profile.prefill_pairs.tolist() == [2 * (1 + 2 + 3 + 4)]
    assert profile.prefill_kv.tolist() == [8.0] == profile.prefill_tokens.tolist()
    assert list(profile.quarantined.values()) == [1, 1, 1]


def test_an_fp8_cache_is_half_as_large(tmp_path):
    path = write(
        tmp_path,
        ATTENTION,
        *(
            f"generation_attention,vllm_flash_attn,3,1,8,2,128,bfloat16,{kv},99,0,0.01"
            for kv in ("bfloat16", "fp8")
        ),
    )
    bf16, fp8 = read_profile(path, precision=None).decode_bytes
    assert bf16 == 300 * 2 * 2 * 2 * 128 == 2 * fp8


def test_all_reduce_messages_are_elements_of_two_bytes_inside_graphs(tmp_path):
    path = write(
        tmp_path,
        "backend,num_gpus,message_size,latency",
        "vllm_graph,2,128,0.005",
        "vllm_eager,2,128,0.05",
    )
    profile = read_profile(path)
    assert profile.message_bytes.tolist() == [256.0]
    assert np.allclose(profile.latency_s, 5e-6)


def test_nccl_keeps_all_reduce_of_16_bits(tmp_path):
    rows = "all_reduce,half", "all_gather,half", "all_reduce,int8"
    header = "op_name,nccl_dtype,num_gpus,message_size,latency"
    path = write(tmp_path, header, *(f"{row},4,1000,0.01" for row in rows))
    profile = read_profile(path)
    assert profile.message_bytes.tolist() == [2000.0] and profile.num_gpus == 4
    assert sum(profile.quarantined.values()) == 2


def test_experts_are_cut_by_tensor_parallelism(tmp_path):
    header = (
        "moe_dtype,kernel_source,num_tokens,hidden_size,inter_size,topk,num_experts,"
        "moe_tp_size,moe_ep_size,distribution,latency"
    )
    path = write(tmp_path, header, "bfloat16,fused,64,2048,768,8,128,2,4,balanced,0.05")
    rows = read_profile(path).of_operator("moe")
    assert rows.intermediate_size == 384 and rows.expert_parallel == 4
    assert rows.experts_per_token == 8 and rows.label.tolist() == ["balanced"]
