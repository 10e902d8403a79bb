"""The points of a profile, block by block (see docs/profiler.md for the choice)."""

from collections.abc import Iterator

from carbjax._profiler.point import BYTES, Point
from carbjax._profiler.shape import LayerShape

BLOCKS = ("idle", "calibration", "mlp", "projections", "prefill", "decode")
BLOCKS += ("elementwise", "layer", "anchor")
IDLE_POINTS = tuple(
    Point("idle", "idle", f"idle {when}") for when in ("start", "middle", "end")
)

_MLP_TOKENS = (1, 8, 32, 64, 128, 192, 256, 384, 512, 1024, 2048, 4096, 8192)
_PROJECTION_TOKENS = (1, 16, 64, 128, 256, 512, 2048, 8192)
_CHUNKS = tuple((p, 0) for p in (128, 512, 1024, 2048, 4096, 8192))
_CHUNKS += ((128, 4096), (512, 2048), (512, 8192), (2048, 8192))
_BATCHES = (1, 8, 32, 128, 256)
_CONTEXTS = (512, 2048, 8192)
_LEFT_OUT = ((1, 512), (256, 512), (1, 2048))
# Both hold as many cached tokens as 32 requests of 2048.
_SKEWED = {
    "half 512, half 3584": (512,) * 16 + (3584,) * 16,
    "28 of 1024, 4 of 9216": (1024,) * 28 + (9216,) * 4,
}
_ELEMENTWISE = ("norm", "silu_mul", "rope", "residual_add", "kv_save")
_ELEMENTWISE_TOKENS = (512, 8192)
_LAYERS = tuple((0, batch) for batch in _BATCHES) + ((2048, 0), (512, 64), (2048, 128))
_LAYER_CONTEXT = 1024
_HBM_READ_BYTES = 8_000_000_000
_HBM_COPY_BYTES = 8_000_000_000  # read and written together
_L2_BYTES = 20_000_000
_SQUARE = 8192


def grid(shape: LayerShape) -> tuple[Point, ...]:
    """All points but idle and anchors: a transformer layer's operators, then checks."""
    return (
        *_calibration(),
        *_matrix_products(shape, "mlp", ("gate_up", "down"), _MLP_TOKENS),
        *_matrix_products(shape, "projections", ("qkv", "o"), _PROJECTION_TOKENS),
        *_prefill(),
        *_decode(),
        *_elementwise(),
        *_layers(),
    )


def _calibration() -> Iterator[Point]:
    def square(kind: str, label: str, rows: int = _SQUARE) -> Point:
        return Point("calibration", kind, label, rows=rows, columns=_SQUARE, depth=_SQUARE)

    def mover(kind: str, label: str, num_bytes: int) -> Point:
        return Point("calibration", kind, label, num_bytes=num_bytes)

    yield mover("hbm_read", "read of 8 GB", _HBM_READ_BYTES)
    yield mover("hbm_copy", "copy of 4 GB", _HBM_COPY_BYTES)
    yield mover("l2_read", "read of 20 MB in L2", _L2_BYTES)
    yield mover("tiny", "launch-bound kernel", 8 * 2 * BYTES)
    yield square("gemm", f"square {_SQUARE}")
    yield square("gemm_zeros", f"square {_SQUARE}, zeros")
    yield square("gemm_half_duty", f"square {_SQUARE}, half of the time")
    yield square("gemm", f"square {_SQUARE} m=512", rows=512)


def _matrix_products(
    shape: LayerShape, block: str, names: tuple[str, ...], tokens: tuple[int, ...]
) -> Iterator[Point]:
    for name in names:
        n, k = shape.projections[name]
        for m in tokens:
            yield Point(block, "gemm", f"{name} m={m}", rows=m, columns=n, depth=k)


def _prefill() -> Iterator[Point]:
    for chunk, cached in _CHUNKS:
        label = f"prefill {chunk} after {cached}"
        yield Point("prefill", "prefill", label, chunk=chunk, cached=cached)


def _decode() -> Iterator[Point]:
    for batch in _BATCHES:
        for context in _CONTEXTS:
            if (batch, context) not in _LEFT_OUT:
                label = f"decode {batch} of {context}"
                yield Point("decode", "decode", label, contexts=(context,) * batch)
    for name, contexts in _SKEWED.items():
        yield Point("decode", "decode", f"decode {name}", contexts=contexts)


def _elementwise() -> Iterator[Point]:
    for kind in _ELEMENTWISE:
        for m in _ELEMENTWISE_TOKENS:
            yield Point("elementwise", kind, f"{kind} m={m}", rows=m)


def _layers() -> Iterator[Point]:
    for chunk, batch in _LAYERS:
        yield Point(
            "layer",
            "layer",
            f"layer, chunk {chunk}, {batch} decodes",
            chunk=chunk,
            contexts=(_LAYER_CONTEXT,) * batch,
        )
