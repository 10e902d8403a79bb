"""Every shared file is read, and says what a slow reader of its rows says."""

from collections.abc import Callable

import numpy as np
import pytest

from carbjax import Profile, read_profile
from tests.profiles.files import records

GPUS = "a100_sxm", "h100_sxm", "h200_sxm", "b200_sxm"
MODELS = {"h100_llama31_70b_tp4": "llama-3.1-70b", "a6000_llama31_8b_tp1": "llama-3.1-8b"}
Row = dict[str, str]


def judged(rows: list[Row], keep: Callable, key: Callable, latency: Callable) -> dict:
    """Mean seconds of each call that is kept, by its key."""
    times: dict[tuple, list[float]] = {}
    for row in rows:
        if keep(row):
            times.setdefault(key(row), []).append(latency(row))
    return {call: sum(t) / len(t) for call, t in times.items()}


def same(profile: Profile, columns: tuple[str, ...], expected: dict, lost: int = 0):
    """Asserts that the profile holds the calls of `expected`, but for `lost` of them."""
    keys = zip(*(getattr(profile, c).tolist() for c in columns), strict=True)
    found = dict(zip(keys, profile.latency_s.tolist(), strict=True))
    assert len(found) == len(profile) == len(expected) - lost
    assert found.keys() <= expected.keys()
    ratio = [latency / expected[call] for call, latency in found.items()]
    assert np.allclose(ratio, 1.0, rtol=1e-12)


def milliseconds(row: Row) -> float:
    return float(row["latency"]) / 1e3


@pytest.mark.parametrize("gpu", GPUS)
def test_matrix_products(shared_data, gpu):
    path = shared_data / "aiconfigurator" / gpu / "gemm.csv.gz"
    expected = judged(
        records(path),
        lambda row: row["gemm_dtype"] == "bfloat16",
        lambda row: (float(row["m"]), float(row["n"]), float(row["k"])),
        milliseconds,
    )
    same(read_profile(path), ("num_tokens", "n", "k"), expected)


def full_bf16(row: Row) -> bool:
    return (
        row["attn_dtype"] == row["kv_cache_dtype"] == "bfloat16"
        and row["kernel_source"] != "vllm_triton_attn"
        and row.get("window_size", "0") == "0"
    )


def heads(row: Row) -> tuple[float, ...]:
    names = "num_heads", "num_key_value_heads", "head_dim"
    return tuple(float(row[name]) for name in names)


@pytest.mark.parametrize("gpu", GPUS)
def test_prefill_attention(shared_data, gpu):
    path = shared_data / "aiconfigurator" / gpu / "context_attention.csv.gz"

    def key(row):
        batch, prompt = float(row["batch_size"]), float(row["isl"])
        return batch * prompt, batch * prompt * (prompt + 1) / 2, *heads(row)

    columns = "prefill_tokens", "prefill_pairs", "num_heads", "num_kv_heads", "head_dim"
    same(read_profile(path), columns, judged(records(path), full_bf16, key, milliseconds))


@pytest.mark.parametrize("gpu", GPUS)
def test_decode_attention(shared_data, gpu):
    path = shared_data / "aiconfigurator" / gpu / "generation_attention.csv.gz"

    def key(row):
        batch = float(row["batch_size"])
        return batch, batch * (1 + float(row["step"])), *heads(row)

    columns = "decode_tokens", "decode_kv", "num_heads", "num_kv_heads", "head_dim"
    # One call in the H100 file takes 60 times as long as the same with an fp8 cache.
    lost = 1 if gpu == "h100_sxm" else 0
    profile = read_profile(path)
    same(profile, columns, judged(records(path), full_bf16, key, milliseconds), lost)
    disturbed = [n for why, n in profile.quarantined.items() if "disturbed" in why]
    assert sum(disturbed) == lost


@pytest.mark.parametrize("gpu", GPUS[:3])
@pytest.mark.parametrize("name", ["nccl", "custom_allreduce"])
def test_collectives(shared_data, gpu, name):
    path = shared_data / "aiconfigurator" / gpu / f"{name}.csv"

    def keep(row):
        if name == "nccl":
            return row["op_name"] == "all_reduce" and row["nccl_dtype"] == "half"
        return row["backend"] == "vllm_graph"

    expected = judged(
        records(path),
        keep,
        lambda row: (float(row["num_gpus"]), 2 * float(row["message_size"])),
        milliseconds,
    )
    same(read_profile(path), ("num_gpus", "message_bytes"), expected)


def test_mixtures_of_experts(shared_data):
    path = shared_data / "aiconfigurator/h200_sxm/moe.csv.gz"
    profile, rows = read_profile(path), records(path)
    assert len(profile) == sum(row["moe_dtype"] == "bfloat16" for row in rows)
    assert np.isfinite(profile.power_w).all() and (profile.operator == "moe").all()


@pytest.mark.parametrize(
    "path",
    [
        *(f"compute/a100/meta-llama/{m}" for m in ("Meta-Llama-3-8B", "Llama-2-70b-hf")),
        *(f"compute/a100/meta-llama/{m}" for m in ("Meta-Llama-3-70B", "Llama-2-7b-hf")),
        *(f"compute/h100/meta-llama/{m}" for m in ("Llama-2-7b-hf", "Llama-2-70b-hf")),
    ],
)
def test_layers_of_vidur(shared_data, path):
    file = shared_data / "vidur" / path / "mlp.csv"
    profile, rows = read_profile(file), records(file)
    assert len(profile) + profile.averaged == 10 * len(rows) and not profile.quarantined
    calls = {(r["num_tokens"], r["num_tensor_parallel_workers"]) for r in rows}
    assert profile.averaged == 10 * (len(rows) - len(calls))


def test_a_layer_with_products_that_were_not_timed(shared_data):
    file = shared_data / "vidur/a30_fork/Qwen-2-7B/mlp.csv"
    profile, rows = read_profile(file), records(file)
    nothing = sum(v == "" for row in rows for c, v in row.items() if c.endswith("median"))
    left_out = sorted(profile.quarantined.values())
    assert nothing == 94 == left_out[-1] and len(left_out) == 2
    assert len(profile) + profile.averaged + sum(left_out) == 10 * len(rows)
    product = profile.select(profile.label == "attn_pre_proj")
    assert (product.gemm_flops / product.latency_s).max() < 165e12  # peak of an A30


@pytest.mark.parametrize(
    "path, clean",
    [
        ("vidur/history_2024_05/a100_attention_64q8kv_tp2.csv.gz", True),
        ("vidur/a30_fork/Qwen-2-7B/attention.csv", True),
        ("llmservingsim/h100_llama31_70b_tp4/attention.csv.gz", True),
        ("llmservingsim/a6000_llama31_8b_tp1/attention.csv.gz", False),
    ],
)
def test_attention_of_both_generations(shared_data, path, clean):
    file = shared_data / path
    profile, rows = read_profile(file), records(file)
    times: dict[tuple, list[float]] = {}
    for row in rows:
        prefill = row["is_prefill"] == "True"
        phase = "prefill" if prefill else "decode"
        kv, batch = float(row["kv_cache_size"]), float(row["batch_size"])
        new = float(row["prefill_chunk_size"]) if prefill else 1.0
        key = f"{phase}_attention", batch * new, batch * (kv + new)
        latency = float(row[f"time_stats.attn_{phase}.median"]) / 1e3
        times.setdefault(key, []).append(latency)
    profile = profile.of_operator("prefill_attention", "decode_attention")
    kv = profile.prefill_kv + profile.decode_kv
    found = zip(profile.operator.tolist(), profile.num_tokens.tolist(), kv, strict=True)
    lost = sum(profile.quarantined.values())
    assert (lost == 0) == clean and len(times) - lost <= len(profile) <= len(times)
    for key, latency in zip(found, profile.latency_s, strict=True):
        assert latency == pytest.approx(sum(times[key]) / len(times[key]))


@pytest.mark.parametrize("gpu, expected", [("a100", 994 * 3), ("h100", 994 * 3)])
def test_all_reduce_of_one_node(shared_data, gpu, expected):
    file = shared_data / "vidur/network" / f"{gpu}_dgx/all_reduce.csv"
    profile, rows = read_profile(file), records(file)
    inside = [r for r in rows if r["num_workers"] == r["devices_per_node"]]
    assert len(profile) + profile.averaged == len(inside) == expected
    assert sum(profile.quarantined.values()) == len(rows) - expected


@pytest.mark.parametrize("folder", MODELS)
def test_decode_that_reads_faster_than_memory_does_not_count(shared_data, folder):
    profile = read_profile(shared_data / "llmservingsim" / folder / "attention.csv.gz")
    assert not profile.of_operator("decode_attention").weight.any()
    assert profile.of_operator("prefill_attention").weight.all()
    own = read_profile(shared_data / "vidur/a30_fork/Qwen-2-7B/attention.csv")
    assert own.weight.all()


def test_mixed_batches(shared_data):
    folder = shared_data / "llmservingsim/rtxpro6000_llama31_8b_tp1"
    profile, rows = read_profile(folder), records(folder / "attention.csv")
    both = [r for r in rows if float(r["prefill_chunk"]) and float(r["n_decode"])]
    mixed = profile.of_operator("mixed_attention")
    assert (
        len(mixed) == len(both) and (profile.num_kv_heads[profile.head_dim > 0] == 8).all()
    )
    assert np.isclose(mixed.latency_s.sum() * 1e6, sum(float(r["time_us"]) for r in both))
    # The largest product cannot be faster than the GPU's peak, nor its cache than memory.
    gemm = profile.of_operator("gemm")
    assert 200e12 < (gemm.gemm_flops / gemm.latency_s).max() < 468e12


@pytest.mark.parametrize("folder", MODELS)
def test_layers_in_nanoseconds(shared_data, folder):
    file = shared_data / "llmservingsim" / folder / "layers.csv.gz"
    profile, rows = read_profile(file, model=MODELS[folder]), records(file)
    kept = [row for row in rows if row["layer_name"] != "attn"]
    assert len(profile) == len(kept)
    total = sum(float(row["latency(ns)"]) for row in kept)
    assert np.isclose(profile.latency_s.sum() * 1e9, total)


def test_power_is_within_the_limits_of_the_boards(shared_data):
    for gpu, limit in (("h200_sxm", 700.0), ("b200_sxm", 1000.0)):
        profile = read_profile(shared_data / "aiconfigurator" / gpu / "gemm.csv.gz")
        assert (profile.power_limit_w == limit).all() and not np.isnan(
            profile.power_w
        ).any()
        assert 100 < profile.power_w.min() < profile.power_w.max() < 1.05 * limit
        assert np.allclose(profile.energy_j, profile.power_w * profile.latency_s)


def test_one_file_through_own_format_is_the_same(shared_data, tmp_path):
    profile = read_profile(shared_data / "vidur/a30_fork/Qwen-2-7B/attention.csv")
    profile.to_parquet(tmp_path / "p.parquet")
    again = read_profile(tmp_path / "p.parquet")
    assert np.array_equal(again.latency_s, profile.latency_s)
    assert again.summary() == profile.summary()
