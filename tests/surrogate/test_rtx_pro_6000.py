"""The RTX PRO 6000: judged by whole measured iterations; its powers by their rule."""

import jax.numpy as jnp
import numpy as np
import pyarrow.csv as pacsv
import pytest

from carbjax._errors import ConfigError
from carbjax._fitting import rtx_profile
from carbjax._fitting.report import errors
from carbjax._hardware import tables
from carbjax._serving.system import System
from carbjax._surrogate.features import BatchFeatures
from carbjax._surrogate.parameter_files import load_fit, load_record
from carbjax._surrogate.specialise import load_cost

NAME = "rtx-pro-6000"
FOLDER = "llmservingsim/rtxpro6000_llama31_8b_tp1"
MODEL = tables.model("llama-3.1-8b")
UNMEASURED = ("gaps", "host", "sampler")
# How often a layer of the profile runs in a layer of the model.
PER_LAYER = {"qkv_proj": 1, "o_proj": 1, "gate_up_proj": 1, "down_proj": 1}
PER_LAYER |= {"layernorm": 2, "act_fn": 1, "rotary_emb": 1}


def measured(path, layer, at):
    """Seconds of a layer of the profile, between its rows."""
    rows = [row for row in pacsv.read_csv(path).to_pylist() if row["layer"] == layer]
    axis = "tokens" if "tokens" in rows[0] else "sequences"
    sizes, times = [r[axis] for r in rows], [r["time_us"] for r in rows]
    return 1e-6 * np.interp(at, sizes, times)


def measured_iterations(folder, rows):
    """Sum of the measured kernels of each mixed batch, over all layers."""
    dense = sum(
        count * measured(folder / "dense.csv", layer, rows.num_tokens)
        for layer, count in PER_LAYER.items()
    )
    head = measured(folder / "per_sequence.csv", "lm_head", rows.decode_tokens + 1)
    return MODEL.num_layers * (dense + rows.latency_s) + head


def predicted_iterations(rows):
    columns = (rows.num_tokens, rows.decode_tokens + 1, rows.prefill_pairs, rows.prefill_kv)
    decode = (rows.decode_tokens, rows.decode_kv, rows.decode_kv**2 / rows.decode_tokens)
    batches = BatchFeatures(*(jnp.asarray(c) for c in (*columns, *decode)))
    costs = load_cost(NAME, MODEL, 1).operator_costs(batches)
    return np.asarray(sum(t for name, (t, _) in costs.items() if name not in UNMEASURED))


@pytest.mark.parametrize(
    "longest_context, cached, mape, p95",
    [(4096, 4096, 7, 20), (4096, 0, 8, 30), (16384, 16384, 11, 45)],
)
def test_mixed_iterations_take_what_their_kernels_took(
    shared_data, longest_context, cached, mape, p95
):
    _, _, rows = rtx_profile.attention(shared_data)
    context = rows.decode_kv / rows.decode_tokens
    before = rows.prefill_kv - (rows.num_tokens - rows.decode_tokens)
    inside = (rows.num_tokens <= 2048) & (rows.decode_tokens >= 4)
    rows = rows.select(inside & (context <= longest_context) & (before <= cached))
    truth = measured_iterations(shared_data / FOLDER, rows)
    error = errors(predicted_iterations(rows), truth)
    assert len(rows) > 500
    assert error.mape < mape and error.p95 < p95 and abs(error.bias) < mape / 2


def test_prefill_and_decode_share_a_kernel_here_alone():
    shared = {n for n in tables.ACCELERATORS if load_fit(n).shared_kernel is not None}
    assert shared == {NAME}


def test_lm_head_and_sampler_take_what_was_measured(shared_data):
    path, sizes = shared_data / FOLDER / "per_sequence.csv", np.array([8.0, 32, 128, 256])
    zero = jnp.zeros(4)
    batch = BatchFeatures(jnp.asarray(sizes), jnp.asarray(sizes), *(zero,) * 5)
    costs = load_cost(NAME, MODEL, 1).operator_costs(batch)
    head = np.asarray(costs["lm_head"][0])
    assert np.allclose(head, measured(path, "lm_head", sizes), rtol=0.25)
    slope = np.diff(np.asarray(costs["sampler"][0])) / np.diff(sizes)
    truth = np.diff(measured(path, "sampler", sizes)) / np.diff(sizes)
    assert np.all(slope > truth.min() / 2) and np.all(slope < truth.max() * 2)


def test_powers_are_shares_of_the_limit_at_full_bandwidth_and_flop_rate():
    gpu, source = tables.accelerator(NAME), tables.accelerator("h100-sxm")
    here, there = load_fit(NAME).power["gemm"], load_fit("h100-sxm").power["gemm"]
    for mine, theirs in (
        (here.static_power, there.static_power),
        (here.max_power, there.max_power),
        (
            here.byte_energy * gpu.memory_bandwidth,
            there.byte_energy * source.memory_bandwidth,
        ),
        (here.flop_energy * gpu.peak_flops, there.flop_energy * source.peak_flops),
    ):
        assert mine / gpu.max_power == pytest.approx(theirs / source.max_power, rel=1e-4)


def test_facts_of_the_fit_are_those_of_the_hardware_table():
    gpu, facts = tables.accelerator(NAME), rtx_profile.RTX
    assert facts.memory_bandwidth == gpu.memory_bandwidth
    assert (facts.max_power, facts.peak_flops) == (gpu.max_power, gpu.peak_flops)


@pytest.mark.parametrize("name", sorted(tables.ACCELERATORS))
def test_every_gpu_of_the_hardware_table_loads(name):
    assert System.load(name, "llama-3.1-8b").accelerator.name == name


def test_without_an_all_reduce_there_is_one_gpu_a_model():
    with pytest.raises(ConfigError, match="`tensor_parallel` is 2"):
        load_cost(NAME, MODEL, 2)
    remarks = " ".join(load_record(NAME)["remarks"])
    assert "calibration of h100-sxm" in remarks and "powers of h100-sxm" in remarks
