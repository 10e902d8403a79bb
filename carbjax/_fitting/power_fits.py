"""Power of every operator class of a GPU, fitted to the shared measurements."""

import pathlib

import numpy as np

from carbjax._fitting import fit as f
from carbjax._fitting.attention_record import attention_profiles
from carbjax._fitting.dense_record import gemms
from carbjax._fitting.report import errors
from carbjax._fitting.splits import held_out_lines, unseen_shapes
from carbjax._surrogate.power import PowerModel

_CAP = 0.985  # of the power limit: what a GEMM at the limit draws, on average

# Sizes of GEMM that a second sweep of the profiler visited, out of order: their power
# is that of the call before.
_MIXED_POWER_SIZES = tuple(
    int(m) for m in "1 3 16 17 32 64 128 192 256 257 512 513 768 769 1024 1025".split()
)
_GEMM_POWER_LATENCY_S = 55e-6
# Repeated 3000 times at most, a shorter call does not fill the meter's second.
_ATTENTION_POWER_LATENCY_S = 3.3e-4

# Those with fp8 tensor cores do twice the FLOPs at the same power.
_FP8_TENSOR_CORES = ("h100-sxm", "h200-sxm", "b200-sxm", "rtx-pro-6000")

# Byte energies are not of the bandwidth: HBM3 and HBM3e cost the same a byte.
_SAME_MEMORY = ("h100-sxm", "h200-sxm")


def fit_powers(gpu: f.GpuFacts, data: pathlib.Path) -> tuple[dict, dict]:
    """Power model of each operator class, and its error on held-out rows.

    Static power and the energies of a byte and a FLOP come from the GEMMs; attention
    has a multiplier on the energies. An fp8 FLOP costs what `_of_fp8` says.
    """
    gemm, error = _fit_gemm_power(gpu, data)
    models, errors = {"gemm": gemm}, {"gemm power": error}
    prefill, decode = (
        rows.select(rows.latency_s > _ATTENTION_POWER_LATENCY_S)
        for rows in attention_profiles(gpu, data)
    )
    models["prefill_attention"], errors["prefill_attention power"] = _fit_power_class(
        (prefill, prefill.prefill_bytes, prefill.prefill_flops),
        gemm,
        "multiplier",
        held_out_lines(prefill.prefill_pairs / prefill.prefill_kv).held_out,
    )
    models["decode_attention"], errors["decode_attention power"] = _fit_power_class(
        (decode, decode.decode_bytes, decode.decode_flops),
        gemm,
        "multiplier",
        held_out_lines(decode.decode_kv / decode.decode_tokens).held_out,
    )
    models["elementwise"] = models["all_reduce"] = gemm
    power = {name: dict(vars(model)) for name, model in models.items()}
    return power | _of_fp8(gpu, power["gemm"]), errors


def _of_fp8(gpu: f.GpuFacts, gemm: dict) -> dict:
    """The power of fp8 products: a FLOP at half the energy where there are fp8 cores."""
    share = 0.5 if gpu.name in _FP8_TENSOR_CORES else 1.0
    return {"gemm_fp8": gemm | {"flop_energy": share * gemm["flop_energy"]}}


def _fit_gemm_power(gpu: f.GpuFacts, data: pathlib.Path) -> tuple[PowerModel, dict]:
    start = PowerModel(150.0, _CAP * gpu.max_power, 1e-10, 0.8e-12)
    rows = gemms(gpu, data)
    rows = rows.select(
        (rows.latency_s > _GEMM_POWER_LATENCY_S)
        & ~np.isin(rows.num_tokens, _MIXED_POWER_SIZES)
    )
    return _fit_power_class(
        (rows, rows.gemm_bytes, rows.gemm_flops),
        start,
        "static_power byte_energy flop_energy max_power",
        unseen_shapes(rows.n, rows.k).held_out,
    )


def _fit_power_class(work, start: PowerModel, free: str, held_out: f.Rows):
    rows, bytes_moved, flops = work
    trial, _ = f.fit_power(bytes_moved, flops, rows, start, ~held_out, free=free)
    predicted = f.power_of(trial, bytes_moved, flops, rows.latency_s)
    trusted = held_out & (rows.power_weight > 0.5)
    error = errors(np.asarray(predicted)[trusted], rows.power_w[trusted]).as_dict()
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
    moved = {
        name: {field: factors[field] * value for field, value in model.items()}
        for name, model in power.items()
    }
    return moved | _of_fp8(target, moved["gemm"])
