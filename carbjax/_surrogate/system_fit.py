"""A parameter file of a GPU, from the shared measurements: operators, power, serving."""

import pathlib

import numpy as np

from carbjax._surrogate import fit as f
from carbjax._surrogate import read_aiconfigurator as aic
from carbjax._surrogate import read_llmservingsim as lss
from carbjax._surrogate.calibrate import apply, calibrate, predict
from carbjax._surrogate.operators import Interaction
from carbjax._surrogate.parameter_files import OperatorFit, fit_from_record
from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.profile import Profile
from carbjax._surrogate.serving_runs import ServingRun, read_serving_runs

AICONFIGURATOR = "ai-dynamo/aiconfigurator@095f58a51c4ca8e61b66ec108d86f223f8d559ce"
LLMSERVINGSIM = "casys-kaist/LLMServingSim@5daddb21a545658d5150b535712d0494584b5278"
ML_ENERGY = "ml-energy/leaderboard@0cd52dab897c5d91a45f4d413038f3b8b4251b0f"

MIXED_SHARPNESS = 30.0
_CAP = 0.985  # of the power limit: what a GEMM at the limit draws, on average
_HEAD_DIM = 128
_LONGEST_CONTEXT = 32768
_LARGEST_MESSAGE = 2.7e8  # bytes: 8192 tokens of the widest model

# Sizes of GEMM that a second sweep of the profiler visited, out of order: their power
# is that of the call before.
_MIXED_POWER_SIZES = (1, 3, 16, 17, 32, 64, 128, 192, 256, 257, 512, 513, 768, 769, 1024, 1025)
_GEMM_POWER_LATENCY_S = 55e-6
# Repeated 3000 times at most, a shorter call does not fill the meter's second.
_ATTENTION_POWER_LATENCY_S = 3.3e-4

_RTX_BANDWIDTH, _RTX_FLOPS = 1.792e12, 467.8e12
_RTX_FOLDER = "llmservingsim/rtxpro6000_llama31_8b_tp1"


# W of the bare GPU, see carbjax/_hardware/accelerators.toml.
_IDLE_POWER = {"a100-sxm": 55.0, "h100-sxm": 68.0, "h200-sxm": 76.0, "b200-sxm": 140.0}
_CALIBRATION_FROM = {"a100-sxm": "h100-sxm", "h200-sxm": "h100-sxm"}


def systems() -> dict[str, f.GpuFacts]:
    """Datasheet numbers of the GPUs that are fitted."""
    gpus = (
        f.GpuFacts("a100-sxm", 2.039e12, 312e12, 40e6, 400.0),
        f.GpuFacts("h100-sxm", 3.35e12, 989e12, 50e6, 700.0),
        f.GpuFacts("h200-sxm", 4.8e12, 989e12, 50e6, 700.0),
        f.GpuFacts("b200-sxm", 7.7e12, 2250e12, 126e6, 1000.0),
    )
    return {gpu.name: gpu for gpu in gpus}


# Where a GPU has no measurement of its own: whose it takes, scaled by datasheets.
_POWER_FROM = {"a100-sxm": "h200-sxm", "h100-sxm": "h200-sxm"}
_FP8_DTYPE = {"h100-sxm": "fp8"}  # elsewhere there is only a slower block-scaled kernel
_FP8_TENSOR_CORES = ("h100-sxm", "h200-sxm", "b200-sxm")
_ALL_REDUCE_FROM = {"b200-sxm": ("h200-sxm", 0.5)}  # twice the link bandwidth


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
        prefill.select((prefill.head_dim == _HEAD_DIM) & (prefill.num_heads >= 4)),
        decode.select(
            (decode.head_dim == _HEAD_DIM)
            & (decode.num_heads >= 4)
            & (context <= _LONGEST_CONTEXT)
        ),
    )


def _folder(name: str, data: pathlib.Path) -> pathlib.Path:
    return data / "aiconfigurator" / name.replace("-", "_")


def _fit_all_reduce(gpu: f.GpuFacts, data: pathlib.Path) -> tuple[dict, dict]:
    source, byte_factor = _ALL_REDUCE_FROM.get(gpu.name, (gpu.name, 1.0))
    profile = aic.read_all_reduce(_folder(source, data) / "custom_allreduce.csv")
    profile = profile.select(profile.message_bytes <= _LARGEST_MESSAGE)
    parameters, errors = {}, {}
    for degree in (2, 4, 8):
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


def fit_powers(gpu: f.GpuFacts, data: pathlib.Path) -> tuple[dict, dict]:
    """Power model of each operator class, and its error on held-out rows."""
    start = PowerModel(150.0, _CAP * gpu.max_power, 1e-10, 0.8e-12)
    rows = gemms(gpu, data)
    rows = rows.select(
        (rows.latency_s > _GEMM_POWER_LATENCY_S)
        & ~np.isin(rows.num_tokens, _MIXED_POWER_SIZES)
    )
    models, errors = {}, {}
    free = "static_power byte_energy flop_energy max_power"
    models["gemm"], errors["gemm power"] = _fit_power_class(
        rows, rows.gemm_bytes, rows.gemm_flops, start, free, f.held_out_shapes(rows)
    )
    gemm = models["gemm"]
    prefill, decode = (
        rows.select(rows.latency_s > _ATTENTION_POWER_LATENCY_S)
        for rows in attention_profiles(gpu, data)
    )
    flops = 4 * decode.num_heads * decode.head_dim * decode.decode_kv
    prompt = prefill.prefill_pairs / prefill.prefill_kv
    context = decode.decode_kv / decode.decode_tokens
    for name, rows, moved, work, axis in (
        ("prefill_attention", prefill, prefill.prefill_bytes, prefill.prefill_flops, prompt),
        ("decode_attention", decode, decode.decode_bytes, flops, context),
    ):
        models[name], errors[f"{name} power"] = _fit_power_class(
            rows, moved, work, gemm, "multiplier", f.held_out_lines(axis)
        )
    models["elementwise"] = models["all_reduce"] = gemm
    return {name: dict(vars(model)) for name, model in models.items()}, errors


def _fit_power_class(rows, bytes_moved, flops, start, free, held_out):
    trial, _ = f.fit_power(bytes_moved, flops, rows, start, ~held_out, free=free)
    predicted = f.power_of(trial, bytes_moved, flops, rows.latency_s)
    trusted = held_out & (rows.power_weight > 0.5)
    error = f.errors(np.asarray(predicted)[trusted], rows.power_w[trusted])
    everything = np.ones(len(rows), dtype=bool)
    return f.fit_power(bytes_moved, flops, rows, start, everything, free=free)[0], error


def transfer_power(power: dict, source: f.GpuFacts, target: f.GpuFacts) -> dict:
    """Powers of a GPU without a power profile: the source's, as shares of the limit.

    Full bandwidth, and full FLOP rate, draw the same share of the power limit.
    """
    limit = target.max_power / source.max_power
    bandwidth = source.memory_bandwidth / target.memory_bandwidth
    same_memory = source.name in _SAME_MEMORY and target.name in _SAME_MEMORY
    factors = {
        "static_power": limit,
        "max_power": limit,
        "byte_energy": 1.0 if same_memory else limit * bandwidth,
        "flop_energy": limit * source.peak_flops / target.peak_flops,
        "multiplier": 1.0,
    }
    return {
        name: {field: factors[field] * value for field, value in model.items()}
        for name, model in power.items()
    }


# Byte energies are not of the bandwidth: HBM3 and HBM3e cost the same a byte.
_SAME_MEMORY = ("h100-sxm", "h200-sxm")


def fit_system(name: str, data: pathlib.Path) -> dict:
    """The record that becomes `parameters/<name>.json`."""
    record = _kernels(name, data)
    calibrated = _CALIBRATION_FROM.get(name, name)
    teacher = record if calibrated == name else _kernels(calibrated, data)
    runs = [
        run for run in read_serving_runs(data / "ml_energy") if run.gpu == calibrated
    ]
    limit = systems()[calibrated].max_power
    found, _ = calibrate(fit_from_record(teacher), runs, limit)
    fit = apply(fit_from_record(record), found, systems()[name].max_power)
    serving = {} if calibrated != name else serving_errors(fit, runs)
    return _with_calibration(record, fit) | {
        "calibration": {"from": calibrated, **vars(found)},
        "errors": record["errors"] | serving,
    }


def serving_errors(fit: OperatorFit, runs: list[ServingRun]) -> dict:
    """Errors of iteration time and energy per token on the runs that calibrated them."""
    latency, energy = (np.asarray(x) for x in predict(fit, runs))
    measured_s, measured_j = np.array([[r.iteration_s, r.energy_j] for r in runs]).T
    return {
        "serving iteration time, seen": f.errors(latency, measured_s),
        "serving energy per token, seen": f.errors(energy, measured_j),
    }


def leave_one_model_out(teacher: OperatorFit, runs: list[ServingRun], limit: float) -> dict:
    """Errors on each model's runs by a calibration on the other models' runs alone."""
    predicted, measured = [], []
    for family in sorted({_family(run) for run in runs}):
        seen = [run for run in runs if _family(run) != family]
        unseen = [run for run in runs if _family(run) == family]
        found, _ = calibrate(teacher, seen, limit)
        predicted.append(np.stack(predict(apply(teacher, found, limit), unseen)))
        measured.append(np.array([[r.iteration_s, r.energy_j] for r in unseen]).T)
    latency, energy = np.concatenate(predicted, axis=1)
    measured_s, measured_j = np.concatenate(measured, axis=1)
    return {
        "serving iteration time, model left out": f.errors(latency, measured_s),
        "serving energy per token, model left out": f.errors(energy, measured_j),
        "serving power, model left out": f.errors(
            energy / latency, measured_j / measured_s
        ),
    }


def _family(run: ServingRun) -> str:
    return run.model.name.removesuffix("-fp8")


def _kernels(name: str, data: pathlib.Path) -> dict:
    """Operators and powers before calibration."""
    gpu = systems()[name]
    operators, errors = fit_operators(gpu, data)
    shared, shared_errors = fit_shared(data)
    share = shared["elementwise"]["bandwidth_share"]
    elementwise = {
        "launch": shared["elementwise"]["launch"],
        "byte": 1 / (share * gpu.memory_bandwidth),
    }
    source = systems()[_POWER_FROM.get(name, name)]
    power, power_errors = fit_powers(source, data)
    if source is not gpu:
        power = transfer_power(power, source, gpu)
        power_errors = {}
    return {
        "accelerator": name,
        "idle_power": _IDLE_POWER[name],
        "active_idle_power": power["gemm"]["static_power"],
        "operators": operators
        | {"interaction": shared["interaction"], "elementwise": elementwise}
        | {"host": {"base": 0.0, "per_sequence": 0.0, "power": 0.0}}
        | {"gaps": {"per_layer": 0.0, "power": 0.0}}
        | {"sampler": {"per_logit": 0.0, "power": 0.0}},
        "power": power,
        "errors": errors | shared_errors | power_errors,
    }


def _with_calibration(record: dict, fit: OperatorFit) -> dict:
    operators = record["operators"] | {
        "host": dict(vars(fit.host)),
        "gaps": dict(vars(fit.gaps)),
        "sampler": dict(vars(fit.sampler)),
        "all_reduce": {str(k): dict(vars(v)) for k, v in fit.all_reduce.items()},
    }
    return record | {
        "active_idle_power": fit.active_idle_power,
        "operators": operators,
        "power": {name: dict(vars(model)) for name, model in fit.power.items()},
    }
