"""Readers of the layer profiles of casys-kaist/LLMServingSim (see docs/surrogate.md)."""

import os
from collections.abc import Mapping

import numpy as np

from carbjax._hardware.model import ModelShape
from carbjax._profiles.gathering import (
    Gathered,
    gathered,
    names,
    open_table,
    require_columns,
    sizes,
)
from carbjax._profiles.kind import Context, Kind
from carbjax._profiles.layer_shapes import (
    Elementwise,
    Gemm,
    Sampler,
    layer_shapes,
    model_of,
    tensor_parallel_of,
)
from carbjax._profiles.profile import Profile, concatenate
from carbjax._profiles.units import MICROSECOND, NANOSECOND, TimeUnit
from carbjax._traces.table import Table

FORM = "llmservingsim"
_MIXED = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
_DENSE = ("layer", "tokens", "time_us")
_PER_SEQUENCE = ("layer", "sequences", "time_us")
_LAYERS = ("layer_name", "input", "kv_cache", "tp_size", "latency(ns)")
_NO_CONTEXT = "attention of an empty cache, see attention.csv"

Shapes = Mapping[str, Gemm | Elementwise | Sampler]


def read_mixed_attention(
    path: str | os.PathLike[str], *, num_heads: int, num_kv_heads: int, head_dim: int
) -> Profile:
    """One attention layer of a prefill chunk together with equal decode requests.

    Rows with one phase alone are prefill or decode attention. Heads are those of one GPU.
    """
    return _mixed(open_table(path), num_heads, num_kv_heads, head_dim)


def read_gemms(
    path: str | os.PathLike[str],
    shapes: Mapping[str, tuple[int, int]],
    count: str = "tokens",
) -> Profile:
    """The layers named in `shapes` (columns n, depth k); column `count` holds m."""
    wanted: Shapes = {name: Gemm(n, k) for name, (n, k) in shapes.items()}
    return _layers(open_table(path), wanted, ("layer", count, "time_us"), MICROSECOND)


def read_elementwise(
    path: str | os.PathLike[str],
    bytes_per_row: Mapping[str, float],
    count: str = "tokens",
) -> Profile:
    """The layers named in `bytes_per_row`, with the bytes that they move."""
    wanted: Shapes = {name: Elementwise(moved) for name, moved in bytes_per_row.items()}
    return _layers(open_table(path), wanted, ("layer", count, "time_us"), MICROSECOND)


def _mixed(
    table: Table, num_heads: float, num_kv_heads: float, head_dim: float, degree: int = 0
) -> Profile:
    require_columns(table, _MIXED, FORM)
    chunk, cached, requests, context = (sizes(table, c) for c in _MIXED[:4])
    some = gathered(table, FORM).without((chunk == 0) & (requests == 0), "empty batches")
    phases = np.where(chunk > 0, "prefill_attention", "decode_attention")
    both = (chunk > 0) & (requests > 0)
    return some.profile(
        np.where(both, "mixed_attention", phases),
        "time_us",
        MICROSECOND,
        num_tokens=chunk + requests,
        prefill_pairs=chunk * cached + chunk * (chunk + 1) / 2,
        prefill_kv=np.where(chunk > 0, chunk + cached, 0.0),
        decode_tokens=requests,
        decode_kv=requests * context,
        num_heads=float(num_heads),
        num_kv_heads=float(num_kv_heads),
        head_dim=float(head_dim),
        tensor_parallel=float(degree),
        precision="bfloat16",
    )


def _layers(
    table: Table, shapes: Shapes, columns: tuple[str, str, str], unit: TimeUnit, **same
) -> Profile:
    """The layers named in `shapes`; `columns` hold name, rows and time."""
    require_columns(table, columns, FORM)
    layer = names(table, columns[0])
    parts = [
        _layer(gathered(table, FORM).only(layer == name), name, shape, columns, unit, same)
        for name, shape in shapes.items()
        if (layer == name).any()
    ]
    if not parts:
        raise table.fail(
            f"it has none of the layers {', '.join(shapes)}.",
            column=columns[0],
            hint=f"It has {', '.join(sorted(set(layer.tolist())))}.",
        )
    return concatenate(*parts)


def _layer(
    some: Gathered,
    name: str,
    shape: Gemm | Elementwise | Sampler,
    columns: tuple[str, str, str],
    unit: TimeUnit,
    same: dict,
) -> Profile:
    rows = sizes(some.table, columns[1])
    common = {"label": name, "num_tokens": rows, "precision": "bfloat16", **same}
    if isinstance(shape, Gemm):
        return some.profile(
            "gemm", columns[2], unit, n=float(shape.n), k=float(shape.k), **common
        )
    moved = rows * shape.bytes_per_row
    if isinstance(shape, Elementwise):
        return some.profile("elementwise", columns[2], unit, message_bytes=moved, **common)
    return some.profile(
        "sampler",
        columns[2],
        unit,
        n=float(shape.logits),
        message_bytes=moved,
        **common,
    )


def _mixed_of_model(table: Table, context: Context) -> Profile:
    require_columns(table, _MIXED, FORM)
    model, degree = _shape(table, context)
    return _mixed(table, model.num_heads / degree, _kv_heads(model, degree), model.head_dim)


def _layers_of_model(columns: tuple[str, str, str]):
    def read(table: Table, context: Context) -> Profile:
        require_columns(table, columns, FORM)
        model, degree = _shape(table, context)
        shapes = layer_shapes(model, degree)
        profile = _layers(
            table, shapes, columns, MICROSECOND, tensor_parallel=float(degree)
        )
        return _with_unknown(profile, table, columns[0], shapes)

    return read


def _nanosecond_layers(table: Table, context: Context) -> Profile:
    require_columns(table, _LAYERS, FORM)
    model = model_of(table, context.model)
    degrees = np.unique(sizes(table, "tp_size"))
    if len(degrees) != 1 or degrees[0] < 1:
        raise table.fail(
            f"it holds the degrees {', '.join(f'{d:g}' for d in degrees)}.",
            column="tp_size",
            hint="Give a file a degree of tensor parallelism.",
        )
    shapes = layer_shapes(model, int(degrees[0]))
    columns = ("layer_name", "input", "latency(ns)")
    profile = _layers(table, shapes, columns, NANOSECOND, tensor_parallel=degrees[0])
    return _with_unknown(profile, table, "layer_name", shapes)


def _with_unknown(profile: Profile, table: Table, column: str, shapes: Shapes) -> Profile:
    """The profile with the rows of layers that have no shape counted as left out."""
    layer, counts = np.unique(names(table, column), return_counts=True)
    unknown = {
        _NO_CONTEXT if name == "attn" else f"layer {name}, not known": int(count)
        for name, count in zip(layer.tolist(), counts, strict=True)
        if name not in shapes
    }
    return profile.leaving_out(unknown)


def _shape(table: Table, context: Context) -> tuple[ModelShape, int]:
    model = model_of(table, context.model)
    return model, tensor_parallel_of(table, context.tensor_parallel)


def _kv_heads(model: ModelShape, degree: int) -> float:
    return max(model.num_kv_heads / degree, 1.0)


KINDS = (
    Kind(FORM, "attention.csv", _MIXED, _mixed_of_model),
    Kind(FORM, "dense.csv", _DENSE, _layers_of_model(_DENSE)),
    Kind(FORM, "per_sequence.csv", _PER_SEQUENCE, _layers_of_model(_PER_SEQUENCE)),
    Kind(FORM, "layers.csv", _LAYERS, _nanosecond_layers),
)
