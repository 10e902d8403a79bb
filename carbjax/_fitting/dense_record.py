"""The dense operators of a GPU fitted to the shared measurements, with their errors."""

import pathlib
from typing import Any

import numpy as np

from carbjax._fitting import rtx_profile, splits
from carbjax._fitting.fit import GpuFacts, usable_gemms
from carbjax._fitting.gemm_fit import fit_gemm, fit_gemm_with_errors, gemm_latency
from carbjax._fitting.report import Report, judge
from carbjax._fitting.streaming_fit import carried_elementwise, kernels
from carbjax._fitting.token_fit import fit_token_spline
from carbjax._profiles import aiconfigurator as aic
from carbjax._profiles.profile import Profile, concatenate
from carbjax._surrogate.token_spline import TokenSpline

ALL_REDUCE_DEGREES = (2, 4, 8)
LARGEST_MESSAGE = 2.7e8  # bytes: 8192 tokens of the widest model
JUDGED_OFFSET = 3
"""The one shape in five that judges; the forms were chosen on offset 0."""

_FP8_DTYPE = {"h100-sxm": "fp8"}  # elsewhere there is only a slower block-scaled kernel
_FP8_TENSOR_CORES = ("h100-sxm", "h200-sxm", "b200-sxm", "rtx-pro-6000")
_RTX = rtx_profile.RTX.name
ALL_REDUCE_FROM = {"b200-sxm": ("h200-sxm", 0.5)}  # twice the link bandwidth


def dense_record(gpu: GpuFacts, data: pathlib.Path) -> tuple[dict, dict]:
    """Parameters of every dense operator of a shipped GPU, and errors by split.

    `gemm` and `gemm_fp8` (`Gemm.from_record`), `all_reduce` by degree and `elementwise`
    kernels by name (`TokenSpline.from_record`, over bytes), `elementwise` the `Streaming`
    that stands for a kernel without a profile, and `uncertainty`, log standard
    deviations. The errors are of fits that did not see the rows that judge them; the
    parameters are of all rows.
    """
    gemm, report = _gemms(gpu, data)
    reduce, reduce_report = _all_reduces(gpu, data)
    kernel, kernel_report = _kernels(gpu, data)
    parameters = gemm | {
        "all_reduce": reduce,
        "elementwise": dict(vars(carried_elementwise(gpu, data))),
        "elementwise_kernels": kernel,
    }
    return parameters, (report + reduce_report + kernel_report).as_dict()


def gemms(gpu: GpuFacts, data: pathlib.Path, dtype: str = "bfloat16") -> Profile:
    """GEMM rows that count, of every shape."""
    if gpu.name == _RTX:
        return concatenate(*rtx_profile.gemms(data))
    return usable_gemms(aic.read_gemm(_folder(gpu.name, data) / "gemm.csv.gz", dtype), gpu)


def _gemms(gpu: GpuFacts, data: pathlib.Path) -> tuple[dict[str, Any], Report]:
    record, deviations, report = _one_gemm(gpu, gemms(gpu, data), "gemm")
    parameters = {"gemm": record, "uncertainty": {"gemm": deviations}}
    if gpu.name in _FP8_DTYPE:
        rows = gemms(gpu, data, _FP8_DTYPE[gpu.name])
        record, deviations, more = _one_gemm(gpu, rows, "gemm_fp8")
        parameters["uncertainty"]["gemm_fp8"] = deviations
        return parameters | {"gemm_fp8": record}, report + more
    faster = 2.0 if gpu.name in _FP8_TENSOR_CORES else 1.0
    carried = record | {"flop": record["flop"] / faster}
    return parameters | {"gemm_fp8": carried}, report


def _one_gemm(gpu: GpuFacts, rows: Profile, name: str) -> tuple[dict, list, Report]:
    def predict(train):
        return gemm_latency(fit_gemm(rows, gpu, train), rows)

    shapes = splits.unseen_shapes(rows.n, rows.k, offset=JUDGED_OFFSET)
    beyond = splits.extrapolation(rows.num_tokens)
    report = judge(f"{name} latency", predict, rows.latency_s, (shapes, beyond))
    found = fit_gemm_with_errors(rows, gpu, np.ones(len(rows), dtype=bool))
    deviations = [float(v) for v in np.sqrt(np.diag(found.covariance))]
    return found.gemm.to_record(), deviations, report


def _all_reduces(gpu: GpuFacts, data: pathlib.Path) -> tuple[dict[str, Any], Report]:
    """Splines over bytes by degree; of a GPU without a profile, a faster GPU's."""
    if gpu.name == _RTX:
        return {}, Report()
    source, byte_factor = ALL_REDUCE_FROM.get(gpu.name, (gpu.name, 1.0))
    profile = aic.read_all_reduce(_folder(source, data) / "custom_allreduce.csv")
    profile = profile.select(profile.message_bytes <= LARGEST_MESSAGE)
    found, report = {}, Report()
    for degree in ALL_REDUCE_DEGREES:
        rows = profile.select(profile.num_gpus == degree)
        spline, more = _judged_spline(
            f"all_reduce latency, {degree} GPUs", rows, rows.message_bytes
        )
        found[str(degree)] = _faster_link(spline, byte_factor).to_record()
        report += more
    return found, report if byte_factor == 1.0 else Report()


def _faster_link(spline: TokenSpline, byte_factor: float) -> TokenSpline:
    """The same protocol where a byte takes `byte_factor` of the time: larger messages."""
    shift = -float(np.log2(byte_factor))
    return TokenSpline(
        spline.first + shift, spline.spacing, spline.log_start, spline.slopes
    )


def _kernels(gpu: GpuFacts, data: pathlib.Path) -> tuple[dict[str, Any], Report]:
    """Splines over bytes of the elementwise kernels, where they were profiled."""
    if gpu.name != _RTX:
        return {}, Report()
    found, report = {}, Report()
    for name, rows in kernels(data).items():
        spline, more = _judged_spline(f"{name} latency", rows, rows.message_bytes)
        found[name] = spline.to_record()
        report += more
    return found, report


def _judged_spline(
    quantity: str, rows: Profile, count: np.ndarray
) -> tuple[TokenSpline, Report]:
    def fit(train):
        return fit_token_spline(count, rows.latency_s, train)

    used = splits.interpolation(count), splits.extrapolation(count)
    report = judge(quantity, lambda train: fit(train).latency(count), rows.latency_s, used)
    return fit(np.ones(len(rows), dtype=bool)), report


def _folder(name: str, data: pathlib.Path) -> pathlib.Path:
    return data / "aiconfigurator" / name.replace("-", "_")
