"""One point of a plan: what is run, and the features that describe it."""

import dataclasses as dc

from carbjax._profiler.shape import LayerShape

BYTES = 2  # of a bf16 number
OPERATOR_OF_KIND = {
    "idle": "idle",
    "gemm": "gemm",
    "gemm_zeros": "gemm",
    "gemm_half_duty": "gemm",
    "prefill": "prefill_attention",
    "decode": "decode_attention",
    "layer": "layer",
    "norm": "elementwise",
    "silu_mul": "elementwise",
    "rope": "elementwise",
    "residual_add": "elementwise",
    "kv_save": "elementwise",
    "hbm_read": "elementwise",
    "hbm_copy": "elementwise",
    "l2_read": "elementwise",
    "tiny": "elementwise",
}
"""Column `operator` of a profile, by what is run."""

_NOT_A_CALL_IN_A_MODEL = (
    "idle layer gemm_zeros gemm_half_duty hbm_read hbm_copy l2_read tiny"
).split()
_NOT_A_POWER_TO_FIT = "idle layer gemm_zeros gemm_half_duty l2_read".split()


@dc.dataclass(frozen=True)
class Point:
    """A load to measure. Sizes that a kind does not have are 0 or empty."""

    block: str
    kind: str
    label: str
    rows: int = 0  # m of a GEMM, tokens of an elementwise call
    columns: int = 0  # n
    depth: int = 0  # k
    chunk: int = 0  # new tokens of the prefill chunk
    cached: int = 0  # tokens cached before the chunk
    contexts: tuple[int, ...] = ()  # of the decode requests
    num_bytes: int = 0  # moved by a calibration load
    is_repeat: bool = False

    @property
    def operator(self) -> str:
        return OPERATOR_OF_KIND[self.kind]

    @property
    def name(self) -> str:
        """Column `label` of a profile: what is run, the same at all sizes."""
        return (
            self.label
            if self.block == "calibration"
            else self.label.split(",")[0].split()[0]
        )

    @property
    def num_tokens(self) -> int:
        return self.rows or self.chunk + len(self.contexts)

    @property
    def weight(self) -> float:
        """1, or 0 where the latency is none of a call in a model (a fit leaves it out)."""
        return 0.0 if self.kind in _NOT_A_CALL_IN_A_MODEL else 1.0

    @property
    def power_weight(self) -> float:
        """1, or 0 where its bytes and FLOPs do not explain its power by design."""
        return 0.0 if self.kind in _NOT_A_POWER_TO_FIT else 1.0


def features(point: Point, shape: LayerShape) -> dict[str, float]:
    """The feature columns of a profile's row; those that are 0 are left out.

    A chunk of c tokens with x cached has `prefill_pairs` c x + c (c + 1) / 2 and
    `prefill_kv` x + c; a decode request of context k has `decode_kv` k.
    """
    chunk, cached, contexts = point.chunk, point.cached, point.contexts
    has_heads = bool(chunk or contexts)
    found = {
        "num_tokens": point.num_tokens,
        "n": point.columns,
        "k": point.depth,
        "bytes_per_weight": BYTES * bool(point.columns),
        "num_heads": shape.num_heads * has_heads,
        "num_kv_heads": shape.num_kv_heads * has_heads,
        "head_dim": shape.head_dim * has_heads,
        "bytes_per_kv_element": BYTES * has_heads,
        "prefill_tokens": chunk,
        "prefill_pairs": chunk * cached + chunk * (chunk + 1) / 2,
        "prefill_kv": cached + chunk,
        "decode_tokens": len(contexts),
        "decode_kv": sum(contexts),
        "decode_kv_sq": sum(k * k for k in contexts),
        "message_bytes": message_bytes(point, shape),
    }
    return {name: float(value) for name, value in found.items() if value}


def message_bytes(point: Point, shape: LayerShape) -> int:
    """Bytes that an elementwise or calibration load reads and writes; 0 for others."""
    heads = shape.num_heads + shape.num_kv_heads
    numbers = {
        "norm": 2 * shape.hidden_size,
        "silu_mul": 3 * shape.intermediate_size,
        "rope": 2 * heads * shape.head_dim,
        "residual_add": 3 * shape.hidden_size,
        "kv_save": 4 * shape.num_kv_heads * shape.head_dim,
    }
    return point.num_bytes or BYTES * point.rows * numbers.get(point.kind, 0)
