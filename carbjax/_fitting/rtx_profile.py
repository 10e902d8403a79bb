"""Profile of an RTX PRO 6000, the one with mixed batches, as the fits want it."""

import pathlib

from carbjax._fitting.fit import GpuFacts
from carbjax._profiles import llmservingsim as lss
from carbjax._profiles.profile import Profile

RTX = GpuFacts("rtx-pro-6000", 1.792e12, 467.8e12, 128e6, 600.0)

# Llama-3.1-8B on one GPU.
_HIDDEN, _COLUMNS, _HEADS, _KV_HEADS, _WIDTH, _VOCABULARY = 4096, 14336, 32, 8, 128, 128256
_FOLDER = "llmservingsim/rtxpro6000_llama31_8b_tp1"


def gemms(data: pathlib.Path) -> tuple[Profile, Profile]:
    """The products of a layer, and the LM head.

    None is too small to count: the profiled model is one layer and the LM head, whose
    1 GB flushes the L2 (small products run at 1.3 TB/s, so weights come from memory).
    """
    heads = (_HEADS + 2 * _KV_HEADS) * _WIDTH
    layer = {
        "qkv_proj": (heads, _HIDDEN),
        "o_proj": (_HIDDEN, _HEADS * _WIDTH),
        "gate_up_proj": (2 * _COLUMNS, _HIDDEN),
        "down_proj": (_HIDDEN, _COLUMNS),
    }
    folder = data / _FOLDER
    return (
        lss.read_gemms(folder / "dense.csv", layer),
        lss.read_gemms(
            folder / "per_sequence.csv", {"lm_head": (_VOCABULARY, _HIDDEN)}, "sequences"
        ),
    )


def attention(data: pathlib.Path) -> tuple[Profile, Profile, Profile]:
    """Prefill alone, decode alone, and both in one kernel."""
    rows = lss.read_mixed_attention(
        data / _FOLDER / "attention.csv",
        num_heads=_HEADS,
        num_kv_heads=_KV_HEADS,
        head_dim=_WIDTH,
    )
    has_prefill, has_decode = rows.prefill_kv > 0, rows.decode_kv > 0
    return (
        rows.select(has_prefill & ~has_decode),
        rows.select(has_decode & ~has_prefill),
        rows.select(has_prefill & has_decode),
    )


def elementwise(data: pathlib.Path) -> Profile:
    """Norms, activation and rotary embedding, with the bytes that they move."""
    moved = {
        "layernorm": 2.0 * 4 * _HIDDEN,
        "act_fn": 2.0 * 3 * _COLUMNS,
        "rotary_emb": 2.0 * 2 * (_HEADS + _KV_HEADS) * _WIDTH,
    }
    return lss.read_elementwise(data / _FOLDER / "dense.csv", moved)


def sampler(data: pathlib.Path) -> Profile:
    """The sampler; its `message_bytes` count logits."""
    path = data / _FOLDER / "per_sequence.csv"
    return lss.read_elementwise(path, {"sampler": float(_VOCABULARY)}, "sequences")
