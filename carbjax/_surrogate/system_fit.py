"""A parameter file of a GPU, from the shared measurements: operators, power, serving."""

import pathlib

from carbjax._surrogate import fit as f
from carbjax._surrogate.calibrate import (
    LARGEST_BATCH,
    apply,
    calibrate,
    leave_one_model_out,
    serving_errors,
)
from carbjax._surrogate.operator_fits import (
    ALL_REDUCE_FROM,
    LONGEST_CONTEXT,
    fit_operators,
    fit_shared,
)
from carbjax._surrogate.parameter_files import OperatorFit, fit_from_record
from carbjax._surrogate.power_fits import fit_powers, transfer_power
from carbjax._surrogate.serving_runs import ASSUMED_PROMPT_TOKENS, read_serving_runs

_SOURCES = {
    "kernels": "ai-dynamo/aiconfigurator@095f58a51c4ca8e61b66ec108d86f223f8d559ce",
    "elementwise and mixed batches": (
        "casys-kaist/LLMServingSim@5daddb21a545658d5150b535712d0494584b5278"
    ),
    "serving runs": "ml-energy/leaderboard@0cd52dab897c5d91a45f4d413038f3b8b4251b0f",
}
# W of the bare GPU, see carbjax/_hardware/accelerators.toml.
_IDLE_POWER = {"a100-sxm": 55.0, "h100-sxm": 68.0, "h200-sxm": 76.0, "b200-sxm": 140.0}
# Where a GPU has no measurement of its own: whose it takes.
_POWER_FROM = {"a100-sxm": "h200-sxm", "h100-sxm": "h200-sxm"}
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


def fit_system(name: str, data: pathlib.Path) -> dict:
    """The record that becomes `parameters/<name>.json`, but for its date."""
    record = kernel_record(name, data)
    source = _CALIBRATION_FROM.get(name, name)
    teacher = record if source == name else kernel_record(source, data)
    limit = systems()[source].max_power
    runs = [run for run in read_serving_runs(data / "ml_energy") if run.gpu == source]
    seen = [run for run in runs if run.batch <= LARGEST_BATCH]
    found, solution = calibrate(fit_from_record(teacher), seen, limit)
    fit = apply(fit_from_record(record), found, systems()[name].max_power)
    errors = record["errors"]
    if source == name:
        errors = errors | serving_errors(fit, seen, "seen")
        errors |= leave_one_model_out(fit_from_record(teacher), runs, limit)
    calibration = {"from": source, **vars(found), "log_sd": _deviations(solution)}
    found_here = {"calibration": calibration, "errors": errors, "remarks": _remarks(name)}
    everything = record | _calibrated(record, fit) | found_here
    return {key: _rounded(value) for key, value in everything.items()}


def _deviations(solution) -> list[float]:
    return [float(v) for v in solution.covariance.diagonal() ** 0.5]


def kernel_record(name: str, data: pathlib.Path) -> dict:
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
    if source.name != name:
        power = transfer_power(power, source, gpu)
        power_errors = {}
    return {
        "accelerator": name,
        "sources": _SOURCES,
        "validity": _VALIDITY,
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


def _calibrated(record: dict, fit: OperatorFit) -> dict:
    operators = record["operators"] | {
        "host": dict(vars(fit.host)),
        "gaps": dict(vars(fit.gaps)),
        "sampler": dict(vars(fit.sampler)),
        "all_reduce": {str(k): dict(vars(v)) for k, v in fit.all_reduce.items()},
    }
    return {
        "active_idle_power": fit.active_idle_power,
        "operators": operators,
        "power": {name: dict(vars(model)) for name, model in fit.power.items()},
    }


_VALIDITY = {
    "num_tokens": [1, 32768],
    "prompt_tokens": [16, 16384],
    "context_tokens": [1, LONGEST_CONTEXT],
    "num_sequences": [1, int(LARGEST_BATCH)],
    "tensor_parallel": [1, 2, 4, 8],
    "gemm_columns_and_depth": [512, 65536],
    "precision": "bf16 weights and cache; fp8 weights by the remark",
}


def _remarks(name: str) -> list[str]:
    remarks = [
        "interaction and elementwise kernels were measured on an RTX PRO 6000 only and "
        "carried over, as multiples of decode time and a share of peak bandwidth",
        f"serving runs give no prompt lengths: {ASSUMED_PROMPT_TOKENS:.0f} tokens assumed",
        "idle_power is not fitted; active_idle_power is the calibrated static power",
    ]
    if name in _POWER_FROM:
        remarks.append(
            f"no power profile: powers of {_POWER_FROM[name]} as shares of the limit"
        )
    if name in _CALIBRATION_FROM:
        remarks.append(f"no serving runs: calibration of {_CALIBRATION_FROM[name]}")
    if name in ALL_REDUCE_FROM:
        source, factor = ALL_REDUCE_FROM[name]
        remarks.append(
            f"all-reduce of {source}, bytes at {factor} of its time, then calibrated"
        )
    if name != "h100-sxm":
        remarks.append(
            "fp8: the bf16 GEMM with half the weight bytes, and half the FLOP time where "
            "the GPU has fp8 tensor cores"
        )
    return remarks


def _rounded(value):
    """Every float to six digits, so that a file changes only where a fit did."""
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
