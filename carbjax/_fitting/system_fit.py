"""A parameter file of a GPU, from the shared measurements: operators, power, serving."""

import dataclasses as dc
import functools as ft
import pathlib

from carbjax._fitting import fit as f
from carbjax._fitting.attention_record import attention_record
from carbjax._fitting.calibrate import (
    apply,
    calibrate,
    leave_one_model_out,
    serving_errors,
)
from carbjax._fitting.dense_record import dense_record
from carbjax._fitting.moe_fit import EXPERTS_FROM, experts_of, moe_record
from carbjax._fitting.power_fits import fit_powers, transfer_power
from carbjax._fitting.provenance import (
    CALIBRATION_FROM,
    POWER_FROM,
    SAMPLER_MEASURED,
    remarks,
    sources,
    validity,
)
from carbjax._fitting.rtx_profile import RTX
from carbjax._fitting.sampler_fit import fit_sampler
from carbjax._fitting.serving_runs import read_serving_runs
from carbjax._surrogate.moe import Moe
from carbjax._surrogate.parameter_files import OperatorFit, fit_from_record

# W of the bare GPU, see carbjax/_hardware/accelerators.toml.
_IDLE_POWER = {
    "a100-sxm": 55.0,
    "h100-sxm": 68.0,
    "h200-sxm": 76.0,
    "b200-sxm": 140.0,
    RTX.name: 40.0,
}


def systems() -> dict[str, f.GpuFacts]:
    """Datasheet numbers of the GPUs that are fitted."""
    gpus = (
        f.GpuFacts("a100-sxm", 2.039e12, 312e12, 40e6, 400.0),
        f.GpuFacts("h100-sxm", 3.35e12, 989e12, 50e6, 700.0),
        f.GpuFacts("h200-sxm", 4.8e12, 989e12, 50e6, 700.0),
        f.GpuFacts("b200-sxm", 7.7e12, 2250e12, 126e6, 1000.0),
        RTX,
    )
    return {gpu.name: gpu for gpu in gpus}


def fit_system(name: str, data: pathlib.Path) -> dict:
    """The record that becomes `parameters/<name>.json`, but for its date."""
    record = kernel_record(name, data)
    source = CALIBRATION_FROM.get(name, name)
    teacher = record if source == name else kernel_record(source, data)
    limit = systems()[source].max_power
    runs = [run for run in read_serving_runs(data / "ml_energy") if run.gpu == source]
    found, solution = calibrate(fit_from_record(teacher), runs, limit)
    errors = record["errors"]
    if name in SAMPLER_MEASURED:
        per_logit, sampler_errors = fit_sampler(data)
        found = dc.replace(found, sampler_per_logit=per_logit)
        errors = errors | sampler_errors
    fit = apply(fit_from_record(record), found, systems()[name].max_power)
    if source == name:
        errors = errors | serving_errors(fit, runs, "seen")
        errors |= leave_one_model_out(fit_from_record(teacher), runs, limit)
    calibration = {"from": source, **vars(found), "log_sd": _deviations(solution)}
    found_here = {"calibration": calibration, "errors": errors, "remarks": remarks(name)}
    everything = record | _calibrated(record, fit) | found_here
    return {key: _rounded(value) for key, value in everything.items()}


def _deviations(solution) -> list[float]:
    return [float(v) for v in solution.covariance.diagonal() ** 0.5]


@ft.cache
def kernel_record(name: str, data: pathlib.Path) -> dict:
    """Operators and powers before calibration."""
    gpu = systems()[name]
    dense, dense_errors = dense_record(gpu, data)
    attention, attention_errors = attention_record(gpu, data)
    source = systems()[EXPERTS_FROM]
    experts, expert_errors = moe_record(source, data)
    moe = experts_of(gpu, source, Moe.from_record(experts)).to_record()
    power, power_errors = _powers(name, data)
    return {
        "accelerator": name,
        "sources": sources(name),
        "validity": validity(name),
        "idle_power": _IDLE_POWER[name],
        "active_idle_power": power["gemm"]["static_power"],
        "max_power": gpu.max_power,
        "operators": {k: v for k, v in dense.items() if k != "uncertainty"}
        | attention
        | {"moe": moe}
        | {"host": {"base": 0.0, "per_sequence": 0.0, "power": 0.0}}
        | {"gaps": {"per_layer": 0.0, "power": 0.0}}
        | {"sampler": {"per_logit": 0.0, "power": 0.0}},
        "power": power,
        "uncertainty": dense["uncertainty"],
        "errors": dense_errors
        | attention_errors
        | (expert_errors if name == EXPERTS_FROM else {})
        | power_errors,
    }


def _powers(name: str, data: pathlib.Path) -> tuple[dict, dict]:
    """Power models, and their errors where the GPU has a power profile of its own."""
    if name not in POWER_FROM:
        return fit_powers(systems()[name], data)
    source, target = systems()[POWER_FROM[name]], systems()[name]
    return transfer_power(_powers(source.name, data)[0], source, target), {}


def _calibrated(record: dict, fit: OperatorFit) -> dict:
    operators = record["operators"] | {
        "host": dict(vars(fit.host)),
        "gaps": dict(vars(fit.gaps)),
        "sampler": dict(vars(fit.sampler)),
        "all_reduce": {str(k): v.to_record() for k, v in fit.all_reduce.items()},
    }
    return {
        "active_idle_power": fit.active_idle_power,
        "max_power": fit.max_power,
        "operators": operators,
        "power": {name: dict(vars(model)) for name, model in fit.power.items()},
    }


def _rounded(value):
    """Every float to six digits, so that a file changes only where a fit did."""
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
