"""Readers of the operator tables of ai-dynamo/aiconfigurator (see docs/surrogate.md)."""

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from carbjax._errors import ProfileError
from carbjax._profiles.profile import Profile
from carbjax._units import SECONDS_PER_MILLISECOND

SLOW_FALLBACK_KERNELS = ("vllm_triton_attn",)
TRUSTED_POWER_LATENCY_S = 1e-4
"""From here on a call is repeated for about a second, the window of the power meter."""
_BFLOAT16_BYTES = 2


def read_gemm(path: pathlib.Path | str, dtype: str = "bfloat16") -> Profile:
    """Matrix products of one precision: rows m, columns n, depth k."""
    table = _read(path, ("gemm_dtype", "m", "n", "k"))
    table = _keep(table, table["gemm_dtype"] == dtype)
    table = _average_duplicates(table, ("m", "n", "k"))
    return Profile.of(
        "gemm",
        table["latency"] * SECONDS_PER_MILLISECOND,
        num_tokens=table["m"],
        n=table["n"],
        k=table["k"],
        bytes_per_weight=np.full(len(table["m"]), 2.0 if dtype == "bfloat16" else 1.0),
        **_power(table),
    )


def read_context_attention(path: pathlib.Path | str) -> Profile:
    """Prefill attention of `batch_size` equal prompts with nothing cached, bf16."""
    table = _attention(path)
    batch, prompt = table["batch_size"], table["isl"]
    return Profile.of(
        "prefill_attention",
        table["latency"] * SECONDS_PER_MILLISECOND,
        num_tokens=batch * prompt,
        prefill_pairs=batch * prompt * (prompt + 1) / 2,
        prefill_kv=batch * prompt,
        **_heads(table),
        **_power(table),
    )


def read_generation_attention(path: pathlib.Path | str) -> Profile:
    """Decode attention of `batch_size` requests of equal context, bf16."""
    table = _attention(path)
    batch, context = table["batch_size"], table["isl"] + table["step"]
    return Profile.of(
        "decode_attention",
        table["latency"] * SECONDS_PER_MILLISECOND,
        num_tokens=batch,
        decode_tokens=batch,
        decode_kv=batch * context,
        **_heads(table),
        **_power(table),
    )


def read_all_reduce(path: pathlib.Path | str) -> Profile:
    """All-reduce inside CUDA graphs; the file counts messages in bf16 elements."""
    table = _read(path, ("backend", "num_gpus", "message_size"))
    table = _keep(table, table["backend"] == "vllm_graph")
    return Profile.of(
        "all_reduce",
        table["latency"] * SECONDS_PER_MILLISECOND,
        num_gpus=table["num_gpus"],
        message_bytes=table["message_size"] * _BFLOAT16_BYTES,
    )


def _attention(path: pathlib.Path | str) -> dict[str, np.ndarray]:
    keys = ("batch_size", "isl", "step", "num_heads", "num_key_value_heads", "head_dim")
    table = _read(path, (*keys, "attn_dtype", "kv_cache_dtype", "kernel_source"))
    keep = (table["attn_dtype"] == "bfloat16") & (table["kv_cache_dtype"] == "bfloat16")
    keep &= ~np.isin(table["kernel_source"], SLOW_FALLBACK_KERNELS)
    if "window_size" in table:
        keep &= table["window_size"] == 0
    return _average_duplicates(_keep(table, keep), keys)


def _read(path: pathlib.Path | str, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    path = pathlib.Path(path)
    try:
        table = pacsv.read_csv(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ProfileError(f"it cannot be read as CSV ({error}).", file=path) from error
    for column in (*required, "latency"):
        if column not in table.column_names:
            raise ProfileError(
                "the column is missing.",
                file=path,
                column=column,
                hint="Give a table of aiconfigurator, converted to CSV.",
            )
    return {name: _array(table[name]) for name in table.column_names}


def _array(column: pa.ChunkedArray) -> np.ndarray:
    values = column.to_numpy()
    return values.astype(np.float64) if values.dtype.kind in "iuf" else values.astype(str)


def _keep(table: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in table.items()}


def _average_duplicates(
    table: dict[str, np.ndarray], keys: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """One row a key, with the mean latency and power of its repeats."""
    stacked = np.stack([table[k] for k in keys], axis=1)
    unique, row, count = np.unique(stacked, axis=0, return_inverse=True, return_counts=True)
    averaged = {k: unique[:, i] for i, k in enumerate(keys)}
    for name in ("latency", "power", "power_limit"):
        if name in table:
            averaged[name] = np.bincount(row.reshape(-1), table[name]) / count
    return averaged


def _heads(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "num_heads": table["num_heads"],
        "num_kv_heads": table["num_key_value_heads"],
        "head_dim": table["head_dim"],
    }


def _power(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Power and the trust in it.

    The meter averages over about a second, so a call that was repeated for less carries
    the power of whatever ran before it: trust grows with latency up to
    `TRUSTED_POWER_LATENCY_S`, squared. A value that another row has too, to all its
    digits, was read twice from one window: it gets a tenth.
    """
    if "power" not in table:
        return {}
    latency_s = table["latency"] * SECONDS_PER_MILLISECOND
    trust = np.minimum(1.0, latency_s / TRUSTED_POWER_LATENCY_S) ** 2
    _, row, count = np.unique(table["power"], return_inverse=True, return_counts=True)
    at_limit = table["power"] > 0.97 * table["power_limit"]
    repeated = (count[row.reshape(-1)] > 1) & ~at_limit
    return {"power_w": table["power"], "power_weight": trust * np.where(repeated, 0.1, 1.0)}
