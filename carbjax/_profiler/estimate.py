"""What a plan takes before it runs: time from datasheet rates, memory from its arrays."""

import dataclasses as dc

from carbjax._hardware import Accelerator
from carbjax._profiler.loads import load_of
from carbjax._profiler.plan import Plan
from carbjax._profiler.point import BYTES, Point, features, message_bytes
from carbjax._profiler.protocol import Protocol
from carbjax._profiler.shape import LayerShape

COMPILE_S = 1.0
"""For one program with its autotuning and data: assumed, not measured."""
_LAUNCH_S = 3e-6
_SECONDS_PER_MINUTE = 60.0
_SHARE_OF_PEAK = 0.7
_L2_OVER_HBM = 3.0
_WORKSPACE = 1.1


@dc.dataclass(frozen=True)
class Rates:
    """How fast a device is at best."""

    name: str
    memory_bandwidth: float  # bytes/s
    peak_flops: float  # FLOP/s, bf16

    @staticmethod
    def of(accelerator: Accelerator) -> "Rates":
        return Rates(accelerator.name, accelerator.memory_bandwidth, accelerator.peak_flops)


SLOW = Rates("a CPU, assumed", 1e10, 5e10)


@dc.dataclass(frozen=True)
class Estimate:
    """Of a whole plan."""

    minutes: float
    memory_bytes: int
    largest: str  # label of the point that needs that much memory


def estimate(plan: Plan, rates: Rates, protocol: Protocol) -> Estimate:
    """Minutes and the largest memory of a point; nothing is run or allocated."""
    loads = [point for point in plan.points if point.kind != "idle"]
    num_programs = len({point.label for point in loads})
    seconds = num_programs * COMPILE_S + sum(
        _point_seconds(point, plan.shape, rates, protocol) for point in plan.points
    )
    # Without points that run something no memory is needed.
    sizes = {point.label: memory_bytes(point, plan.shape) for point in loads} or {"": 0}
    largest = max(sizes, key=lambda label: sizes[label])
    return Estimate(seconds / _SECONDS_PER_MINUTE, sizes[largest], largest)


def memory_bytes(point: Point, shape: LayerShape) -> int:
    """Device memory that a point needs; cuDNN's attention keeps no logits."""
    if point.kind == "idle":
        return 0
    return round(_WORKSPACE * load_of(point, shape, "cudnn").nbytes)


def call_seconds(point: Point, shape: LayerShape, rates: Rates) -> float:
    """A rough latency of one call, to choose how often it is repeated."""
    if point.kind == "layer":
        return sum(call_seconds(part, shape, rates) for part in parts(point, shape))
    return _LAUNCH_S + fastest_seconds(point, shape, rates) / _SHARE_OF_PEAK


def fastest_seconds(point: Point, shape: LayerShape, rates: Rates) -> float:
    """The latency that no kernel can beat: bytes or FLOPs at full rate."""
    moved, flops = traffic(point, shape)
    bandwidth = rates.memory_bandwidth * (_L2_OVER_HBM if point.kind == "l2_read" else 1)
    return max(moved / bandwidth, flops / rates.peak_flops)


def traffic(point: Point, shape: LayerShape) -> tuple[float, float]:
    """Bytes and FLOPs of one call."""
    f = features(point, shape)
    if point.operator == "gemm":
        m, n, k = point.rows, point.columns, point.depth
        return BYTES * (m * k + k * n + m * n), 2.0 * m * n * k
    pairs = f.get("prefill_pairs", 0.0) + f.get("decode_kv", 0.0)
    cache = f.get("prefill_kv", 0.0) + f.get("decode_kv", 0.0)
    if point.operator in ("prefill_attention", "decode_attention"):
        heads = shape.num_kv_heads * cache + shape.num_heads * point.num_tokens
        return 2 * BYTES * shape.head_dim * heads, (
            4.0 * shape.num_heads * shape.head_dim * pairs
        )
    if point.kind == "layer":
        each = [traffic(part, shape) for part in parts(point, shape)]
        return sum(moved for moved, _ in each), sum(flops for _, flops in each)
    return message_bytes(point, shape), 0.0


def parts(layer: Point, shape: LayerShape) -> tuple[Point, ...]:
    """The operators that a decoder layer is made of, at its sizes."""
    tokens = layer.num_tokens
    products = tuple(
        Point("mlp", "gemm", f"{name} m={tokens}", rows=tokens, columns=n, depth=k)
        for name, (n, k) in shape.projections.items()
    )
    names = ("norm", "norm", "rope", "kv_save", "residual_add", "residual_add", "silu_mul")
    small = tuple(
        Point("elementwise", kind, f"{kind} m={tokens}", rows=tokens) for kind in names
    )
    attention = ()
    if layer.chunk:
        attention += (dc.replace(layer, kind="prefill", contexts=()),)
    if layer.contexts:
        attention += (dc.replace(layer, kind="decode", chunk=0, cached=0),)
    return products + attention + small


def _point_seconds(
    point: Point, shape: LayerShape, rates: Rates, protocol: Protocol
) -> float:
    if point.kind == "idle":
        return protocol.idle
    call = call_seconds(point, shape, rates)
    # At least two launches of at least one call, however long one takes.
    return protocol.gap + max(protocol.warm_up + protocol.window, 4 * call)
