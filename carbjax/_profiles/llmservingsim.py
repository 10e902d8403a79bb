"""Readers of the layer profiles of casys-kaist/LLMServingSim (see docs/surrogate.md)."""

import pathlib

import numpy as np
import pyarrow.csv as pacsv

from carbjax._profiles.profile import Profile
from carbjax._units import SECONDS_PER_MICROSECOND

_BFLOAT16_BYTES = 2.0


def read_mixed_attention(
    path: pathlib.Path | str, *, num_heads: int, num_kv_heads: int, head_dim: int
) -> Profile:
    """One attention layer of a prefill chunk together with equal decode requests."""
    table = pacsv.read_csv(path)
    chunk, cached, requests, context = (
        table[c].to_numpy().astype(np.float64)
        for c in ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode")
    )
    return Profile.of(
        "mixed_attention",
        table["time_us"].to_numpy() * SECONDS_PER_MICROSECOND,
        num_tokens=chunk + requests,
        prefill_pairs=chunk * cached + chunk * (chunk + 1) / 2,
        prefill_kv=np.where(chunk > 0, chunk + cached, 0.0),
        decode_tokens=requests,
        decode_kv=requests * context,
        num_heads=np.full(len(chunk), float(num_heads)),
        num_kv_heads=np.full(len(chunk), float(num_kv_heads)),
        head_dim=np.full(len(chunk), float(head_dim)),
    )


def read_gemms(
    path: pathlib.Path | str, shapes: dict[str, tuple[int, int]], count: str = "tokens"
) -> Profile:
    """The layers named in `shapes` (columns n, depth k); column `count` holds m."""
    names, rows, latency = _layers(path, tuple(shapes), count)
    n, k = np.array([shapes[name] for name in names], dtype=np.float64).T
    return Profile.of(
        "gemm",
        latency,
        num_tokens=rows,
        n=n,
        k=k,
        bytes_per_weight=np.full(len(names), _BFLOAT16_BYTES),
    )


def read_elementwise(
    path: pathlib.Path | str, bytes_per_row: dict[str, float], count: str = "tokens"
) -> Profile:
    """The layers named in `bytes_per_row`, with the bytes that they move."""
    names, rows, latency = _layers(path, tuple(bytes_per_row), count)
    per_row = np.array([bytes_per_row[name] for name in names])
    return Profile.of("elementwise", latency, num_tokens=rows, message_bytes=rows * per_row)


def _layers(path: pathlib.Path | str, names: tuple[str, ...], count: str):
    """Names, counts and seconds of the rows of some layers."""
    table = pacsv.read_csv(path)
    layer = table["layer"].to_numpy(zero_copy_only=False).astype(str)
    known = np.isin(layer, names)
    counts = table[count].to_numpy().astype(np.float64)
    seconds = table["time_us"].to_numpy() * SECONDS_PER_MICROSECOND
    return layer[known], counts[known], seconds[known]
