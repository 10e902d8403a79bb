"""Which points are measured, in which order."""

import dataclasses as dc
import random
from collections import Counter
from collections.abc import Sequence

from carbjax._errors import ConfigError
from carbjax._profiler.grid import BLOCKS, IDLE_POINTS, grid
from carbjax._profiler.point import Point
from carbjax._profiler.shape import LayerShape

POINTS_BETWEEN_ANCHORS = 20
# One load of each kind, below the power limit on every GPU we know the rates of.
_ANCHORS = ("gate_up m=64", "decode 32 of 2048", "qkv m=128", "norm m=8192")


@dc.dataclass(frozen=True)
class Plan:
    """Points in the order in which they are measured, on one share of a layer."""

    shape: LayerShape
    points: tuple[Point, ...]
    left_out: tuple[Point, ...] = ()  # by request, or for lack of memory

    def __len__(self) -> int:
        return len(self.points)

    @property
    def by_block(self) -> dict[str, int]:
        """How many points each block has."""
        count = Counter(point.block for point in self.points)
        return {block: count[block] for block in BLOCKS if count[block]}


def make_plan(
    shape: LayerShape,
    *,
    seed: int = 0,
    blocks: Sequence[str] | None = None,
    points: Sequence[Point] | None = None,
) -> Plan:
    """The plan of a layer: 99 points in random order, idle at start, middle and end.

    After every 20 points one of four anchors is measured again, which tells drift and
    the effect of temperature. `blocks` keeps some blocks alone, `points` replaces the
    grid. Raises `ConfigError` for a block that there is not.
    """
    unknown = sorted(set(blocks or ()) - set(BLOCKS))
    if unknown:
        raise ConfigError(
            f"there is no block {unknown[0]!r}.", hint=f"Blocks are {', '.join(BLOCKS)}."
        )
    wanted = set(blocks or BLOCKS)
    candidates = tuple(grid(shape) if points is None else points)
    loads = [point for point in candidates if point.block in wanted]
    idle = IDLE_POINTS if "idle" in wanted else ()
    if not loads and not idle:
        raise ConfigError(
            "no point is left to measure.", hint="Choose a block beside `anchor`."
        )
    random.Random(seed).shuffle(loads)
    ordered = _with_anchors(loads) if "anchor" in wanted else loads
    left_out = tuple(point for point in candidates if point.block not in wanted)
    return Plan(shape, _with_idle(ordered, idle), left_out)


def without(plan: Plan, unwanted: Sequence[Point]) -> Plan:
    """The plan less some points, and less the repeats of those."""
    labels = {point.label for point in unwanted}
    kept = tuple(point for point in plan.points if point.label not in labels)
    gone = tuple(point for point in plan.points if point.label in labels)
    return dc.replace(plan, points=kept, left_out=plan.left_out + gone)


def _with_anchors(loads: list[Point]) -> list[Point]:
    by_label = {point.label: point for point in loads}
    anchors = [by_label[label] for label in _ANCHORS if label in by_label]
    ordered = []
    for index, point in enumerate(loads, start=1):
        ordered.append(point)
        if anchors and index % POINTS_BETWEEN_ANCHORS == 0:
            ordered.append(dc.replace(anchors.pop(0), block="anchor", is_repeat=True))
    return ordered


def _with_idle(loads: list[Point], idle: Sequence[Point]) -> tuple[Point, ...]:
    if not idle:
        return tuple(loads)
    start, middle, end = idle
    half = len(loads) // 2
    return (start, *loads[:half], middle, *loads[half:], end)
