"""Latency of every operator of a GPU, fitted to the shared measurements."""

import pathlib

import numpy as np
from jaxtyping import Float

from carbjax._fitting import fit as f, rtx_profile
from carbjax._fitting.rtx_profile import RTX
from carbjax._profiles import aiconfigurator as aic
from carbjax._profiles.profile import Profile, concatenate
from carbjax._surrogate.attention_kernels import Interaction

CARRIED_SHARPNESS = 30.0
MIXED_SHARPNESS = {RTX.name: 300.0}  # where it was measured; lower where it is carried to
HEAD_DIM = 128
LONGEST_CONTEXT = 32768
LARGEST_MESSAGE = 2.7e8  # bytes: 8192 tokens of the widest model
ALL_REDUCE_DEGREES = (2, 4, 8)

_FP8_DTYPE = {"h100-sxm": "fp8"}  # elsewhere there is only a slower block-scaled kernel
_FP8_TENSOR_CORES = ("h100-sxm", "h200-sxm", "b200-sxm", RTX.name)
ALL_REDUCE_FROM = {"b200-sxm": ("h200-sxm", 0.5)}  # twice the link bandwidth
NO_ALL_REDUCE = (RTX.name,)


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
            f.held_out_lines(prompt_lengths(gpu, prefill)),
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


def prompt_lengths(gpu: f.GpuFacts, prefill: Profile) -> Float[np.ndarray, " rows"]:
    """What grows with the prompt of each row, or with its chunk where some is cached."""
    if gpu.name == RTX.name:
        return prefill.num_tokens
    return prefill.prefill_pairs / prefill.prefill_kv


def gemms(gpu: f.GpuFacts, data: pathlib.Path, dtype: str = "bfloat16") -> Profile:
    """GEMM rows that count, of every shape."""
    if gpu.name == RTX.name:
        return concatenate(*rtx_profile.gemms(data))
    path = _folder(gpu.name, data) / "gemm.csv.gz"
    return f.usable_gemms(aic.read_gemm(path, dtype), gpu)


def attention_profiles(gpu: f.GpuFacts, data: pathlib.Path) -> tuple[Profile, Profile]:
    """Prefill and decode rows of the head counts and contexts that models have."""
    if gpu.name == RTX.name:
        return rtx_profile.attention(data)[:2]
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
    if gpu.name in NO_ALL_REDUCE:
        return {}, {}
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


def fit_mixed(data: pathlib.Path, sharpness: float) -> tuple[dict, dict]:
    """The interaction of prefill and decode in one kernel, in multiples of decode time."""
    prefill_rows, decode_rows, both = rtx_profile.attention(data)
    prefill = f.fit_prefill(prefill_rows, RTX, np.ones(len(prefill_rows), dtype=bool))
    decode = f.fit_decode(decode_rows, RTX, np.ones(len(decode_rows), dtype=bool))
    held_out = f.held_out_lines(both.decode_kv / both.decode_tokens)

    def fitted(train) -> Interaction:
        return f.fit_interaction(both, prefill, decode, sharpness, train)

    def errors_of(mixed: Interaction) -> dict:
        predicted = np.asarray(f.mixed_latency(prefill, decode, mixed, both))
        return f.errors(predicted[held_out], both.latency_s[held_out])

    errors = {
        "mixed attention latency (rtx-pro-6000)": errors_of(fitted(~held_out)),
        "mixed attention latency if additive (rtx-pro-6000)": errors_of(
            Interaction(0.0, 0.0, 1.0)
        ),
    }
    return dict(vars(fitted(np.ones(len(both), dtype=bool)))), errors


def fit_elementwise(data: pathlib.Path) -> tuple[dict, dict]:
    """Launch of an elementwise kernel, and its share of the peak bandwidth."""
    rows = rtx_profile.elementwise(data)
    held_out = f.held_out_lines(rows.num_tokens)
    bandwidth = RTX.memory_bandwidth
    trial = f.fit_streaming(rows, 2e-6, bandwidth, ~held_out)
    predicted = trial.launch + trial.byte * rows.message_bytes
    found = f.fit_streaming(rows, 2e-6, bandwidth, np.ones(len(rows), dtype=bool))
    share = 1 / (found.byte * bandwidth)
    error = f.errors(predicted[held_out], rows.latency_s[held_out])
    return {"launch": found.launch, "bandwidth_share": share}, {
        "elementwise latency (rtx-pro-6000)": error
    }


def fit_sampler(data: pathlib.Path) -> tuple[float, dict]:
    """Seconds a logit on the RTX PRO 6000. The launch is left to the host's base time."""
    rows = rtx_profile.sampler(data)
    held_out = f.held_out_lines(rows.num_tokens)
    trial = f.fit_streaming(rows, 2e-5, 2e11, ~held_out)
    predicted = trial.launch + trial.byte * rows.message_bytes
    found = f.fit_streaming(rows, 2e-5, 2e11, np.ones(len(rows), dtype=bool))
    error = f.errors(predicted[held_out], rows.latency_s[held_out])
    return found.byte, {"sampler latency": error}
