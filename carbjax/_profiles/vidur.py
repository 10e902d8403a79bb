"""Readers of the profiles of microsoft/vidur, both generations (see docs/surrogate.md)."""

import dataclasses as dc

import numpy as np
from jaxtyping import Bool

from carbjax._profiles.cold import contexts_are_shared
from carbjax._profiles.gathering import (
    Gathered,
    gathered,
    names,
    require_columns,
    sizes,
)
from carbjax._profiles.kind import Context, Kind
from carbjax._profiles.profile import Floats, Profile, concatenate
from carbjax._profiles.units import MILLISECOND
from carbjax._traces.table import Table

FORM = "vidur"
_BYTES = 2.0  # all is profiled in 16 bits
GEMMS = ("attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj")
ELEMENTWISE = (
    "emb",
    "input_layernorm",
    "attn_rope",
    "post_attention_layernorm",
    "mlp_act",
    "add",
)
_SHAPE = (
    "n_head n_kv_head n_embd n_expanded_embd use_gated_mlp num_tokens "
    "num_tensor_parallel_workers"
).split()
_ATTENTION_SHAPE = (
    "n_embd n_q_head n_kv_head num_tensor_parallel_workers batch_size "
    "prefill_chunk_size kv_cache_size is_prefill"
).split()
_TRUE, _FALSE = ("true", "1", "1.0"), ("false", "0", "0.0")


def median(operator: str) -> str:
    """The column of an operator's median time, in ms."""
    return f"time_stats.{operator}.median"


_MLP = (*map(median, (*GEMMS, *ELEMENTWISE)), *_SHAPE)
_PHASES = tuple(map(median, ("attn_prefill", "attn_decode")))
_NETWORK = (median("all_reduce"), "num_workers", "size", "devices_per_node")


@dc.dataclass(frozen=True)
class _Layer:
    """Sizes of a layer on one GPU of a tensor parallel group, a value a row."""

    hidden: Floats
    heads: Floats
    kv_heads: Floats
    head_dim: Floats
    columns: Floats  # of the feed-forward
    gates: Floats  # matrices in the up projection: 2 with a gate

    def gemm(self, label: str) -> tuple[Floats, Floats]:
        """Columns n and depth k."""
        queries = self.heads * self.head_dim
        return {
            "attn_pre_proj": (queries + 2 * self.kv_heads * self.head_dim, self.hidden),
            "attn_post_proj": (self.hidden, queries),
            "mlp_up_proj": (self.gates * self.columns, self.hidden),
            "mlp_down_proj": (self.hidden, self.columns),
        }[label]

    def bytes_per_token(self, label: str) -> Floats:
        """Inputs and outputs of an elementwise operator, each once."""
        rotated = (self.heads + self.kv_heads) * self.head_dim
        elements = {
            "emb": 2 * self.hidden,
            "input_layernorm": 2 * self.hidden,
            "post_attention_layernorm": 2 * self.hidden,
            "attn_rope": 2 * rotated,
            "mlp_act": (self.gates + 1) * self.columns,
            "add": 3 * self.hidden,
        }
        return _BYTES * elements[label]


def _mlp(table: Table, context: Context) -> Profile:
    """The ten operators of a layer that depend on tokens alone, at every TP degree.

    Labels are those of the file. The degrees were emulated on one GPU: sizes are what
    one GPU of the group computes. Bytes of elementwise operators: each input and output
    once, in 16 bits.
    """
    require_columns(table, _MLP, "vidur, mlp.csv")
    degree, heads = sizes(table, "num_tensor_parallel_workers"), sizes(table, "n_head")
    hidden = sizes(table, "n_embd")
    layer = _Layer(
        hidden=hidden,
        heads=heads / degree,
        kv_heads=np.maximum(sizes(table, "n_kv_head") / degree, 1.0),
        head_dim=hidden / heads,
        columns=sizes(table, "n_expanded_embd") / degree,
        gates=1.0 + _flags(table, "use_gated_mlp"),
    )
    some, tokens = gathered(table, FORM), sizes(table, "num_tokens")
    same = {"num_tokens": tokens, "tensor_parallel": degree, "precision": "bfloat16"}
    parts = []
    for label in GEMMS:
        n, k = layer.gemm(label)
        parts.append(
            some.profile("gemm", median(label), MILLISECOND, label=label, n=n, k=k, **same)
        )
    for label in ELEMENTWISE:
        moved = tokens * layer.bytes_per_token(label)
        parts.append(
            some.profile(
                "elementwise",
                median(label),
                MILLISECOND,
                label=label,
                message_bytes=moved,
                **same,
            )
        )
    return concatenate(*parts)


def _attention(table: Table, context: Context) -> Profile:
    """Prefill and decode attention, and saving to the key-value cache if it is there.

    A prefill row is a chunk over `kv_cache_size` cached tokens; a decode row reads those
    and its own token. Times of the phase that a row does not have are not looked at, be
    they NaN or 0; neither are the reshapes, which the kernels contain. Decode rows have
    `weight` 0 where the profiler gave all requests the same cache (`contexts_are_shared`).
    """
    require_columns(table, (*_PHASES, *_ATTENTION_SHAPE), "vidur, attention.csv")
    prefills = _flags(table, "is_prefill")
    degree, heads = sizes(table, "num_tensor_parallel_workers"), sizes(table, "n_q_head")
    same = {
        "num_heads": heads / degree,
        "num_kv_heads": np.maximum(sizes(table, "n_kv_head") / degree, 1.0),
        "head_dim": sizes(table, "n_embd") / heads,
        "tensor_parallel": degree,
        "precision": "bfloat16",
    }
    some = gathered(table, FORM)
    parts = [
        _prefill(some.only(prefills), same),
        _decode(some.only(~prefills), same),
    ]
    if median("attn_kv_cache_save") in table.columns:
        parts.append(_cache_save(some, prefills, same))
    return concatenate(*(part for part in parts if len(part) or part.quarantined))


def _prefill(some: Gathered, same: dict) -> Profile:
    batch, chunk = sizes(some.table, "batch_size"), sizes(some.table, "prefill_chunk_size")
    cached = sizes(some.table, "kv_cache_size")
    return some.profile(
        "prefill_attention",
        median("attn_prefill"),
        MILLISECOND,
        label="attn_prefill",
        num_tokens=batch * chunk,
        prefill_pairs=batch * (chunk * cached + chunk * (chunk + 1) / 2),
        prefill_kv=batch * (chunk + cached),
        **same,
    )


def _decode(some: Gathered, same: dict) -> Profile:
    batch = sizes(some.table, "batch_size")
    profile = some.profile(
        "decode_attention",
        median("attn_decode"),
        MILLISECOND,
        label="attn_decode",
        num_tokens=batch,
        decode_tokens=batch,
        decode_kv=batch * (sizes(some.table, "kv_cache_size") + 1.0),
        **same,
    )
    return contexts_are_shared(profile)


def _cache_save(
    some: Gathered, prefills: Bool[np.ndarray, " records"], same: dict
) -> Profile:
    """Keys and values of the new tokens, read and written."""
    chunk = np.where(prefills, sizes(some.table, "prefill_chunk_size"), 1.0)
    tokens = sizes(some.table, "batch_size") * chunk
    width = same["num_kv_heads"] * same["head_dim"]
    return some.profile(
        "elementwise",
        median("attn_kv_cache_save"),
        MILLISECOND,
        label="attn_kv_cache_save",
        num_tokens=tokens,
        message_bytes=tokens * width * 4 * _BYTES,
        tensor_parallel=same["tensor_parallel"],
        precision="bfloat16",
    )


def _all_reduce(table: Table, context: Context) -> Profile:
    """All-reduce of `size` bytes inside one node, full or not.

    On one node `devices_per_node` is `num_workers`; other rows are counted out.
    """
    require_columns(table, _NETWORK, "vidur, all_reduce.csv")
    gpus, some = sizes(table, "num_workers"), gathered(table, FORM)
    if "collective" in table.columns:
        other = names(table, "collective") != "all_reduce"
        some = some.without(other, "collectives other than all-reduce")
    several = sizes(table, "devices_per_node") != gpus
    some = some.without(several, "all-reduce over several nodes")
    return some.profile(
        "all_reduce",
        median("all_reduce"),
        MILLISECOND,
        num_gpus=gpus,
        message_bytes=sizes(table, "size"),
    )


def _flags(table: Table, column: str) -> Bool[np.ndarray, " records"]:
    values = np.char.lower(names(table, column))
    strange = np.flatnonzero(~np.isin(values, (*_TRUE, *_FALSE)))
    if len(strange):
        record = int(strange[0])
        raise table.fail(
            f"{table.shown(column, record)!r} is neither True nor False.",
            record,
            column,
            hint="Give True or False.",
        )
    return np.isin(values, _TRUE)


KINDS = (
    Kind(FORM, "mlp.csv", _MLP, _mlp),
    Kind(FORM, "attention.csv", (*_PHASES, *_ATTENTION_SHAPE), _attention),
    Kind(FORM, "all_reduce.csv", _NETWORK, _all_reduce),
)
