"""Do operators add up to a layer? The layer's rows are seen by no fit."""

import dataclasses as dc
import math
from collections.abc import Sequence

import numpy as np

from carbjax._profiler.estimate import Rates, call_seconds, parts
from carbjax._profiler.point import Point
from carbjax._profiler.shape import LayerShape


@dc.dataclass(frozen=True)
class LayerCheck:
    """Sums of operators against one measured layer, in percent; NaN where not metered."""

    label: str
    latency_error: float
    energy_error: float


@dc.dataclass(frozen=True)
class Seen:
    """A measured point: s and J of one call."""

    point: Point
    latency_s: float
    energy_j: float


def check_layers(
    seen: Sequence[Seen], shape: LayerShape, rates: Rates
) -> tuple[LayerCheck, ...]:
    """One check for each layer that was measured, 0 where the parts make the whole.

    A part at a size that was not measured is the rough estimate of `call_seconds`,
    times the ratio of measurement to estimate, interpolated over measured sizes of the
    same operator. Layers with an operator that was never measured are left out.
    """
    checks = []
    for layer in (s for s in seen if s.point.kind == "layer"):
        found = [_predicted(part, seen, shape, rates) for part in parts(layer.point, shape)]
        known = [part for part in found if part is not None]
        if len(known) == len(found):
            latency, energy = np.sum(known, axis=0)
            checks.append(
                LayerCheck(
                    layer.point.label,
                    _percent(latency, layer.latency_s),
                    _percent(energy, layer.energy_j),
                )
            )
    return tuple(checks)


def _predicted(
    part: Point, seen: Sequence[Seen], shape: LayerShape, rates: Rates
) -> tuple[float, float] | None:
    """s and J of a part, or None where no such operator was measured."""
    rows = _comparable(part, seen)
    if not rows:
        return None
    rough = np.array([call_seconds(s.point, shape, rates) for s in rows])
    seconds = np.array([s.latency_s for s in rows])
    joules = np.array([s.energy_j for s in rows])
    sizes = np.log([_size(s.point) for s in rows])
    at, here = math.log(_size(part)), call_seconds(part, shape, rates)
    ratios = (_interpolated(at, sizes, values / rough) for values in (seconds, joules))
    latency, energy = (here * ratio for ratio in ratios)
    return latency, energy


def _comparable(part: Point, seen: Sequence[Seen]) -> list[Seen]:
    """Points of the same operator: of the same weights, without cache, of even contexts."""
    rows = [
        s
        for s in seen
        if s.point.kind == part.kind
        and (s.point.columns, s.point.depth) == (part.columns, part.depth)
        and s.point.cached == part.cached
        and len(set(s.point.contexts)) <= 1
    ]
    if part.kind != "decode":
        return rows
    # The nearest batch alone, over its contexts.
    batch = len(part.contexts)
    batches = {len(s.point.contexts) for s in rows}
    nearest = min(batches, key=lambda b: abs(math.log(b / batch)), default=batch)
    return [s for s in rows if len(s.point.contexts) == nearest]


def _size(point: Point) -> float:
    return float(point.rows or point.chunk or sum(point.contexts))


def _interpolated(at: float, sizes: np.ndarray, ratios: np.ndarray) -> float:
    unique = np.unique(sizes)
    means = [np.mean(np.log(ratios[sizes == size])) for size in unique]
    return float(np.exp(np.interp(at, unique, means)))


def _percent(total: float, measured: float) -> float:
    return 100.0 * (total / measured - 1.0)
