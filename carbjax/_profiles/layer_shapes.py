"""Sizes of the layers of a model that a file names but does not measure out."""

import dataclasses as dc
import pathlib
import re

from carbjax._hardware.model import ModelShape
from carbjax._hardware.tables import MODELS
from carbjax._traces.table import Table

_BYTES = 2.0
_LOGIT_BYTES = 4.0  # samplers work in float32
_META = "meta.yaml"


@dc.dataclass(frozen=True)
class Gemm:
    n: float  # columns
    k: float  # depth


@dc.dataclass(frozen=True)
class Elementwise:
    bytes_per_row: float


@dc.dataclass(frozen=True)
class Sampler:
    logits: float

    @property
    def bytes_per_row(self) -> float:
        return _LOGIT_BYTES * self.logits


def layer_shapes(model: ModelShape, degree: int) -> dict[str, Gemm | Elementwise | Sampler]:
    """The layers by the names of LLMServingSim, on one GPU of `degree`.

    Bytes: each input and output once, in 16 bits. `layernorm` adds the residual too;
    the norms of `layers.csv` are counted without it.
    """
    hidden, width = model.hidden_size, model.head_dim
    queries = model.num_heads / degree * width
    keys = max(model.num_kv_heads / degree, 1.0) * width
    columns, vocabulary = model.intermediate_size / degree, model.vocab_size / degree
    norm, rotated = Elementwise(_BYTES * 2 * hidden), 2 * (queries + keys)
    return {
        "embedding": norm,
        "layernorm": Elementwise(_BYTES * 4 * hidden),
        "input_layernorm": norm,
        "post_layernorm": norm,
        "final_layernorm": norm,
        "qkv_proj": Gemm(queries + 2 * keys, hidden),
        "q_proj": Gemm(queries, hidden),
        "k_proj": Gemm(keys, hidden),
        "v_proj": Gemm(keys, hidden),
        "rotary_emb": Elementwise(_BYTES * rotated),
        "rope": Elementwise(_BYTES * rotated),
        "o_proj": Gemm(hidden, queries),
        "gate_up_proj": Gemm(2 * columns, hidden),
        "gate_proj": Gemm(columns, hidden),
        "up_proj": Gemm(columns, hidden),
        "act_fn": Elementwise(_BYTES * 3 * columns),
        "down_proj": Gemm(hidden, columns),
        "lm_head": Gemm(vocabulary, hidden),
        "sampler": Sampler(model.vocab_size),
    }


def model_of(table: Table, model: ModelShape | None) -> ModelShape:
    """The model that was profiled: as given, or as the description beside the file says.

    Only the model's name is taken from `meta.yaml`: the sizes in it are those of the
    last run, of whatever degree of tensor parallelism that was.
    """
    if model is not None:
        return model
    beside = pathlib.Path(table.file).with_name(_META)
    text = beside.read_text("utf-8") if beside.is_file() else ""
    named = re.search(r"^model:[ \t]*['\"]?([^'\"\s]+)", text, re.MULTILINE)
    known = MODELS.get(named[1].split("/")[-1].lower()) if named else None
    if known is not None:
        return known
    said = f"{_META} beside it names {named[1]!r}" if named else f"no {_META} names one"
    raise table.fail(
        f"the sizes of its layers follow from the model, and {said}.",
        hint='Give model="llama-3.1-8b", another shipped name, or a ModelShape.',
    )


def tensor_parallel_of(table: Table, degree: int | None) -> int:
    """The degree that was profiled: as given, or N where the folder's name ends in tpN."""
    if degree is not None:
        return degree
    folder = pathlib.Path(table.file).absolute().parent.name
    named = re.search(r"(?:^|[_-])tp(\d+)$", folder)
    if named and int(named[1]) > 0:
        return int(named[1])
    raise table.fail(
        f"the degree of tensor parallelism is not known: the folder is {folder!r}.",
        hint="Give tensor_parallel=1, or what it was; folders tp1, tp2, … are understood.",
    )
