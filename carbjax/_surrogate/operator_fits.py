"""Latency of every operator of a GPU, fitted to the shared measurements."""

import pathlib

import numpy as np

from carbjax._surrogate import (
    fit as f,
    read_aiconfigurator as aic,
    read_llmservingsim as lss,
)
from carbjax._surrogate.operators import Interaction
from carbjax._surrogate.profile import Profile

MIXED_SHARPNESS = 30.0
HEAD_DIM = 128
LONGEST_CONTEXT = 32768
LARGEST_MESSAGE = 2.7e8  # bytes: 8192 tokens of the widest model
ALL_REDUCE_DEGREES = (2, 4, 8)

_FP8_DTYPE = {"h100-sxm": "fp8"}  # elsewhere there is only a slower block-scaled kernel
_FP8_TENSOR_CORES = ("h100-sxm", "h200-sxm", "b200-sxm")
ALL_REDUCE_FROM = {"b200-sxm": ("h200-sxm", 0.5)}  # twice the link bandwidth

_RTX_BANDWIDTH, _RTX_FLOPS = 1.792e12, 467.8e12
_RTX_FOLDER = "llmservingsim/rtxpro6000_llama31_8b_tp1"


def fit_operators(gpu: f.GpuFacts, data: pathlib.Path) -> tuple[dict, dict]:
    """Latency parameters of every operator, and their errors on held-out rows.

    The errors are of a fit that did not see those rows; the parameters are of all rows.
    """
    parameters, errors = {}, {}
    for name, (profile, held_out, fit_fn, latency_fn) in _latency_tasks(gpu, data).items():
        trial = fit_fn(profile, gpu, ~held_out)
        predicted = np.asarray(latency_fn(trial, profile))
        errors[f"{name} latency"] = f.errors(
            predicted[held_out], profile.latency_s[held_out]
        )
        everything = np.ones(len(profile), dtype=bool)
        parameters[name] = dict(vars(fit_fn(profile, gpu, everything)))
    reduce, reduce_errors = _fit_all_reduce(gpu, data)
    bf16 = parameters["gemm"]
    fp8_flop = bf16["flop"] / (2.0 if gpu.name in _FP8_TENSOR_CORES else 1.0)
    parameters.setdefault("gemm_fp8", bf16 | {"flop": fp8_flop})
    return parameters | {"all_reduce": reduce}, errors | reduce_errors


def _latency_tasks(gpu: f.GpuFacts, data: pathlib.Path) -> dict:
    """Per operator: its profile, the rows held out, how to fit it and to evaluate it."""
    gemm = gemms(gpu, data)
    prefill, decode = attention_profiles(gpu, data)
    tasks = {"gemm": (gemm, f.held_out_shapes(gemm), f.fit_gemm, f.gemm_latency)}
    if gpu.name in _FP8_DTYPE:
        fp8 = gemms(gpu, data, _FP8_DTYPE[gpu.name])
        held_out = f.held_out_shapes(fp8)
        tasks["gemm_fp8"] = (fp8, held_out, f.fit_gemm, f.gemm_latency)
    return tasks | {
        "prefill_attention": (
            prefill,
            f.held_out_lines(prefill.prefill_pairs / prefill.prefill_kv),
            f.fit_prefill,
            f.prefill_latency,
        ),
        "decode_attention": (
            decode,
            f.held_out_lines(decode.decode_kv / decode.decode_tokens),
            f.fit_decode,
            f.decode_latency,
        ),
    }


def gemms(gpu: f.GpuFacts, data: pathlib.Path, dtype: str = "bfloat16") -> Profile:
    path = _folder(gpu.name, data) / "gemm.csv.gz"
    return f.usable_gemms(aic.read_gemm(path, dtype), gpu)


def attention_profiles(gpu: f.GpuFacts, data: pathlib.Path) -> tuple[Profile, Profile]:
    """Prefill and decode rows of the head counts and contexts that models have."""
    folder = _folder(gpu.name, data)
    prefill = aic.read_context_attention(folder / "context_attention.csv.gz")
    decode = aic.read_generation_attention(folder / "generation_attention.csv.gz")
    context = decode.decode_kv / decode.decode_tokens
    return (
        prefill.select((prefill.head_dim == HEAD_DIM) & (prefill.num_heads >= 4)),
        decode.select(
            (decode.head_dim == HEAD_DIM)
            & (decode.num_heads >= 4)
            & (context <= LONGEST_CONTEXT)
        ),
    )


def _folder(name: str, data: pathlib.Path) -> pathlib.Path:
    return data / "aiconfigurator" / name.replace("-", "_")


def _fit_all_reduce(gpu: f.GpuFacts, data: pathlib.Path) -> tuple[dict, dict]:
    source, byte_factor = ALL_REDUCE_FROM.get(gpu.name, (gpu.name, 1.0))
    profile = aic.read_all_reduce(_folder(source, data) / "custom_allreduce.csv")
    profile = profile.select(profile.message_bytes <= LARGEST_MESSAGE)
    parameters, errors = {}, {}
    for degree in ALL_REDUCE_DEGREES:
        rows = profile.select(profile.num_gpus == degree)
        held_out = f.held_out_lines(rows.message_bytes)
        trial = f.fit_streaming(rows, 5e-6, 2e11, ~held_out)
        predicted = trial.launch + trial.byte * rows.message_bytes
        errors[f"all_reduce latency, {degree} GPUs"] = f.errors(
            predicted[held_out], rows.latency_s[held_out]
        )
        found = f.fit_streaming(rows, 5e-6, 2e11, np.ones(len(rows), dtype=bool))
        parameters[str(degree)] = {
            "launch": found.launch,
            "byte": byte_factor * found.byte,
        }
    return parameters, ({} if byte_factor != 1.0 else errors)


def fit_shared(data: pathlib.Path) -> tuple[dict, dict]:
    """What only the RTX PRO 6000 profile holds: the interaction, and elementwise kernels.

    Returned dimensionless: multiples of decode time, and a share of peak bandwidth.
    """
    rtx = f.GpuFacts("rtx-pro-6000", _RTX_BANDWIDTH, _RTX_FLOPS, 128e6, 600.0)
    rows = lss.read_mixed_attention(
        data / _RTX_FOLDER / "attention.csv", num_heads=32, num_kv_heads=8, head_dim=128
    )
    has_prefill, has_decode = rows.prefill_kv > 0, rows.decode_kv > 0
    alone = rows.select(has_prefill & ~has_decode)
    prefill = f.fit_prefill(alone, rtx, np.ones(len(alone), dtype=bool))
    alone = rows.select(has_decode & ~has_prefill)
    decode = f.fit_decode(alone, rtx, np.ones(len(alone), dtype=bool))
    both = rows.select(has_prefill & has_decode)
    held_out = f.held_out_lines(both.decode_kv / both.decode_tokens)
    trial = f.fit_interaction(both, prefill, decode, MIXED_SHARPNESS, ~held_out)
    predicted = np.asarray(f.mixed_latency(prefill, decode, trial, both))
    additive = np.asarray(
        f.mixed_latency(prefill, decode, Interaction(0.0, 0.0, 1.0), both)
    )
    every = np.ones(len(both), dtype=bool)
    found = f.fit_interaction(both, prefill, decode, MIXED_SHARPNESS, every)
    streaming, streaming_errors = _fit_elementwise(data)
    parameters = {"interaction": dict(vars(found)), "elementwise": streaming}
    measured = both.latency_s
    return parameters, streaming_errors | {
        "mixed attention latency (rtx-pro-6000)": f.errors(
            predicted[held_out], measured[held_out]
        ),
        "mixed attention latency if additive (rtx-pro-6000)": f.errors(
            additive[held_out], measured[held_out]
        ),
    }


def _fit_elementwise(data: pathlib.Path) -> tuple[dict, dict]:
    hidden, columns, heads, kv_heads, width = 4096, 14336, 32, 8, 128
    rows = lss.read_elementwise(
        data / _RTX_FOLDER / "dense.csv",
        {
            "layernorm": 2.0 * 4 * hidden,
            "act_fn": 2.0 * 3 * columns,
            "rotary_emb": 2.0 * 2 * (heads + kv_heads) * width,
        },
    )
    held_out = f.held_out_lines(rows.num_tokens)
    trial = f.fit_streaming(rows, 2e-6, _RTX_BANDWIDTH, ~held_out)
    predicted = trial.launch + trial.byte * rows.message_bytes
    found = f.fit_streaming(rows, 2e-6, _RTX_BANDWIDTH, np.ones(len(rows), dtype=bool))
    share = 1 / (found.byte * _RTX_BANDWIDTH)
    error = f.errors(predicted[held_out], rows.latency_s[held_out])
    return {"launch": found.launch, "bandwidth_share": share}, {
        "elementwise latency (rtx-pro-6000)": error
    }
