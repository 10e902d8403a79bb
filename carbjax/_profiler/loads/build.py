"""The load of a point."""

from carbjax._errors import ConfigError
from carbjax._profiler.loads import attention, calibration, elementwise
from carbjax._profiler.loads.attention import Implementation
from carbjax._profiler.loads.layer import layer
from carbjax._profiler.loads.load import Load
from carbjax._profiler.loads.matrix import gemm
from carbjax._profiler.point import Point
from carbjax._profiler.shape import LayerShape

_ELEMENTWISE = {
    "norm": elementwise.norm,
    "silu_mul": elementwise.silu_mul,
    "rope": elementwise.rope,
    "residual_add": elementwise.residual_add,
    "kv_save": elementwise.kv_save,
}
_CALIBRATION = {
    "hbm_read": calibration.hbm_read,
    "hbm_copy": calibration.hbm_copy,
    "l2_read": calibration.l2_read,
    "tiny": calibration.tiny,
}


def load_of(point: Point, shape: LayerShape, implementation: Implementation) -> Load:
    """What runs at a point; `ConfigError` for one that runs nothing, as idle."""
    kind = point.kind
    if kind.startswith("gemm"):
        zeros = kind == "gemm_zeros"
        return gemm(point.rows, point.columns, point.depth, zeros=zeros)
    if kind == "prefill":
        return attention.prefill(shape, point.chunk, point.cached, implementation)
    if kind == "decode":
        return attention.decode(shape, point.contexts, implementation)
    if kind == "layer":
        return layer(shape, point.chunk, point.contexts, implementation)
    if kind in _ELEMENTWISE:
        return _ELEMENTWISE[kind](shape, point.rows)
    if kind in _CALIBRATION:
        return _CALIBRATION[kind](point.num_bytes)
    raise ConfigError(f"nothing runs at a point of kind {kind!r}.")
