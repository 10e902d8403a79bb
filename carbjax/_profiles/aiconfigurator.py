"""Readers of the operator tables of ai-dynamo/aiconfigurator (see docs/surrogate.md)."""

import os

import numpy as np

from carbjax._profiles.cold import weights_stay_in_l2
from carbjax._profiles.gathering import (
    Gathered,
    gathered,
    measurements,
    names,
    open_table,
    require_columns,
    sizes,
)
from carbjax._profiles.kind import Context, Kind
from carbjax._profiles.power_trust import power_trust
from carbjax._profiles.profile import Profile
from carbjax._profiles.units import MILLISECOND
from carbjax._traces.table import Table

FORM = "aiconfigurator"
SLOW_FALLBACK_KERNELS = ("vllm_triton_attn",)
_BYTES = {
    "bfloat16": 2.0,
    "half": 2.0,
    "float16": 2.0,
    "fp8": 1.0,
    "fp8_block": 1.0,
    "int8": 1.0,
    "nvfp4": 0.5,
    "int4_wo": 0.5,
}
_GEMM = ("gemm_dtype", "m", "n", "k", "latency")
_ATTENTION = (
    "batch_size isl step num_heads num_key_value_heads head_dim attn_dtype "
    "kv_cache_dtype kernel_source latency"
).split()
_NCCL = ("op_name", "nccl_dtype", "num_gpus", "message_size", "latency")
_CUSTOM = ("backend", "num_gpus", "message_size", "latency")
_MOE = (
    "moe_dtype num_tokens hidden_size inter_size topk num_experts moe_tp_size "
    "moe_ep_size distribution kernel_source latency"
).split()


def read_gemm(path: str | os.PathLike[str], dtype: str | None = "bfloat16") -> Profile:
    """Matrix products of one precision, None for all: rows m, columns n, depth k.

    `weight` is 0 where the weights stayed in the L2 of the GPU, if it is a known one.
    """
    return _gemm(open_table(path), Context(precision=dtype))


def read_context_attention(path: str | os.PathLike[str]) -> Profile:
    """Prefill attention of `batch_size` equal prompts with nothing cached, bf16."""
    return _context_attention(open_table(path), Context())


def read_generation_attention(path: str | os.PathLike[str]) -> Profile:
    """Decode attention of `batch_size` requests of equal context, bf16."""
    return _generation_attention(open_table(path), Context())


def read_all_reduce(path: str | os.PathLike[str]) -> Profile:
    """All-reduce inside CUDA graphs; the file counts messages in bf16 elements."""
    return _custom_all_reduce(open_table(path), Context())


def _gemm(table: Table, context: Context) -> Profile:
    require_columns(table, _GEMM, FORM)
    some = _of_precision(gathered(table, FORM), "gemm_dtype", context)
    precision = names(table, "gemm_dtype")
    profile = some.profile(
        "gemm",
        "latency",
        MILLISECOND,
        num_tokens=sizes(table, "m"),
        n=sizes(table, "n"),
        k=sizes(table, "k"),
        bytes_per_weight=_bytes(precision),
        **_measured(table, precision),
    )
    return weights_stay_in_l2(profile)


def _context_attention(table: Table, context: Context) -> Profile:
    some, columns = _attention(table, context)
    batch, prompt = sizes(table, "batch_size"), sizes(table, "isl")
    cached = sizes(table, "step")
    pairs = batch * (prompt * cached + prompt * (prompt + 1) / 2)
    return some.profile(
        "prefill_attention",
        "latency",
        MILLISECOND,
        num_tokens=batch * prompt,
        prefill_pairs=pairs,
        prefill_kv=batch * (prompt + cached),
        **columns,
    )


def _generation_attention(table: Table, context: Context) -> Profile:
    some, columns = _attention(table, context)
    batch = sizes(table, "batch_size")
    return some.profile(
        "decode_attention",
        "latency",
        MILLISECOND,
        num_tokens=batch,
        decode_tokens=batch,
        decode_kv=batch * (sizes(table, "isl") + sizes(table, "step")),
        **columns,
    )


def _either_attention(table: Table, context: Context) -> Profile:
    require_columns(table, ("op_name", *_ATTENTION), FORM)
    kinds = set(names(table, "op_name").tolist())
    if kinds == {"context_attention"}:
        return _context_attention(table, context)
    if kinds == {"generation_attention"}:
        return _generation_attention(table, context)
    raise table.fail(
        f"it holds {', '.join(sorted(kinds))}.",
        column="op_name",
        hint="Give context_attention or generation_attention, a file each.",
    )


def _custom_all_reduce(table: Table, context: Context) -> Profile:
    require_columns(table, _CUSTOM, FORM)
    backend = names(table, "backend")
    some = gathered(table, FORM).without(
        backend != "vllm_graph", "all-reduce outside CUDA graphs"
    )
    return some.profile(
        "all_reduce",
        "latency",
        MILLISECOND,
        num_gpus=sizes(table, "num_gpus"),
        message_bytes=sizes(table, "message_size") * _BYTES["bfloat16"],
        label=backend,
        **_measured(table, "bfloat16"),
    )


def _nccl(table: Table, context: Context) -> Profile:
    require_columns(table, _NCCL, FORM)
    precision = names(table, "nccl_dtype")
    some = gathered(table, FORM).without(
        names(table, "op_name") != "all_reduce", "collectives other than all-reduce"
    )
    some = some.without(_bytes(precision) != 2.0, "all-reduce of other than 16 bits")
    return some.profile(
        "all_reduce",
        "latency",
        MILLISECOND,
        num_gpus=sizes(table, "num_gpus"),
        message_bytes=sizes(table, "message_size") * _bytes(precision),
        label="nccl",
        **_measured(table, precision),
    )


def _moe(table: Table, context: Context) -> Profile:
    require_columns(table, _MOE, FORM)
    some = _of_precision(gathered(table, FORM), "moe_dtype", context)
    precision, cut = names(table, "moe_dtype"), sizes(table, "moe_tp_size")
    return some.profile(
        "moe",
        "latency",
        MILLISECOND,
        label=names(table, "distribution"),
        num_tokens=sizes(table, "num_tokens"),
        hidden_size=sizes(table, "hidden_size"),
        intermediate_size=sizes(table, "inter_size") / cut,
        num_experts=sizes(table, "num_experts"),
        experts_per_token=sizes(table, "topk"),
        expert_parallel=sizes(table, "moe_ep_size"),
        tensor_parallel=cut,
        bytes_per_weight=_bytes(precision),
        **_measured(table, precision),
    )


def _attention(table: Table, context: Context) -> tuple[Gathered, dict]:
    """Full attention of fast kernels, and the columns that both phases have."""
    require_columns(table, _ATTENTION, FORM)
    some = _of_precision(gathered(table, FORM), "attn_dtype", context)
    cache = names(table, "kv_cache_dtype")
    if context.precision is not None:
        some = some.without(
            cache != context.precision, f"key-value caches other than {context.precision}"
        )
    slow = np.isin(names(table, "kernel_source"), SLOW_FALLBACK_KERNELS)
    some = some.without(slow, "slow fallback kernels (triton)")
    if "window_size" in table.columns:
        some = some.without(sizes(table, "window_size") > 0, "sliding windows")
    return some, {
        "num_heads": sizes(table, "num_heads"),
        "num_kv_heads": sizes(table, "num_key_value_heads"),
        "head_dim": sizes(table, "head_dim"),
        "bytes_per_kv_element": _bytes(cache),
        **_measured(table, names(table, "attn_dtype")),
    }


def _of_precision(some: Gathered, column: str, context: Context) -> Gathered:
    precision = names(some.table, column)
    unknown = np.array([p not in _BYTES for p in precision], dtype=bool)
    some = some.without(unknown, "precisions that carbjax does not know")
    if context.precision is None:
        return some
    return some.without(
        precision != context.precision, f"precisions other than {context.precision}"
    )


def _bytes(precision: np.ndarray) -> np.ndarray:
    kinds, which = np.unique(precision, return_inverse=True)
    return np.array([_BYTES.get(str(p), np.nan) for p in kinds])[which]


def _measured(table: Table, precision) -> dict:
    """Device, precision and, where the file has it, power and the trust in it."""
    columns: dict = {"precision": precision}
    if "device" in table.columns:
        columns["device"] = names(table, "device")
    if "power" not in table.columns:
        return columns
    power = measurements(table, "power")
    limit = np.full(len(power), np.nan)
    if "power_limit" in table.columns:
        limit = measurements(table, "power_limit")
    latency = measurements(table, "latency") * MILLISECOND.seconds
    trust = power_trust(power, limit, latency)
    return columns | {"power_w": power, "power_limit_w": limit, "power_weight": trust}


KINDS = (
    Kind(FORM, "gemm", _GEMM, _gemm),
    Kind(FORM, "attention", ("op_name", *_ATTENTION), _either_attention),
    Kind(FORM, "nccl", _NCCL, _nccl),
    Kind(FORM, "custom_allreduce", _CUSTOM, _custom_all_reduce),
    Kind(FORM, "moe", tuple(_MOE), _moe),
)
