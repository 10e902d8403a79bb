"""A layer and points small enough for a CPU, one of each kind."""

from carbjax._profiler.point import Point
from carbjax._profiler.protocol import Protocol
from carbjax._profiler.shape import LayerShape

SHAPE = LayerShape(
    hidden_size=32, num_heads=4, num_kv_heads=2, head_dim=8, intermediate_size=48
)
_KINDS = ("norm", "silu_mul", "rope", "residual_add", "kv_save")
CALLS = (
    *(
        Point("mlp", "gemm", f"{name} m={m}", rows=m, columns=n, depth=k)
        for name, (n, k) in SHAPE.projections.items()
        for m in (4, 16)
    ),
    Point("prefill", "prefill", "prefill 8 after 0", chunk=8),
    Point("prefill", "prefill", "prefill 8 after 16", chunk=8, cached=16),
    Point("decode", "decode", "decode 3 of 16", contexts=(16,) * 3),
    Point("decode", "decode", "decode uneven", contexts=(4, 20, 24)),
    *(Point("elementwise", kind, f"{kind} m=8", rows=8) for kind in _KINDS),
)
CALIBRATION = (
    Point("calibration", "hbm_read", "read", num_bytes=4096),
    Point("calibration", "hbm_copy", "copy", num_bytes=4096),
    Point("calibration", "l2_read", "cache", num_bytes=2048),
    Point("calibration", "tiny", "tiny", num_bytes=32),
    Point("calibration", "gemm_zeros", "zeros", rows=8, columns=16, depth=24),
    Point("calibration", "gemm_half_duty", "half", rows=8, columns=16, depth=24),
)
LAYERS = (
    Point("layer", "layer", "layer of decodes", contexts=(16,) * 4),
    Point("layer", "layer", "layer of a chunk", chunk=8),
    Point("layer", "layer", "mixed layer", chunk=8, contexts=(16,) * 3),
)
POINTS = (*CALLS, *CALIBRATION, *LAYERS)

# Far too short to meter power.
QUICK = Protocol(warm_up=0.02, window=0.05, gap=0.0, idle=0.02, launch=0.01, sample=0.005)
