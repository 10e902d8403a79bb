"""Readers of the layer profiles of casys-kaist/LLMServingSim (see docs/surrogate.md)."""

import pathlib

import numpy as np
import pyarrow.csv as pacsv

from carbjax._surrogate.profile import Profile
from carbjax._units import SECONDS_PER_MICROSECOND


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


def read_elementwise(
    path: pathlib.Path | str, bytes_per_token: dict[str, float]
) -> Profile:
    """The layers named in `bytes_per_token`, with the bytes that they move."""
    table = pacsv.read_csv(path)
    layer = table["layer"].to_numpy(zero_copy_only=False).astype(str)
    known = np.isin(layer, list(bytes_per_token))
    tokens = table["tokens"].to_numpy().astype(np.float64)[known]
    per_token = np.array([bytes_per_token[name] for name in layer[known]])
    return Profile.of(
        "elementwise",
        table["time_us"].to_numpy()[known] * SECONDS_PER_MICROSECOND,
        num_tokens=tokens,
        message_bytes=tokens * per_token,
    )
