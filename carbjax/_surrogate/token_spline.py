"""Operators whose latency depends on one count alone, as measured rather than derived."""

import math
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from carbjax._surrogate.monotone_network import library_of

_LN2 = math.log(2.0)


class TokenSpline(eqx.Module):
    """Latency over a count x (tokens, or bytes), a spline between logarithms.

        d log(latency) / d log(x) = slope(log2 x), linear between knots

    with knots `first`, `first + spacing`, ... in log2 x. The slope is 0 from one
    `spacing` below the first knot down (a launch), and 1 from one above the last knot
    up (a rate), so latency is constant below and proportional to x far above. With
    `slopes` >= 0 it is positive, non-decreasing and continuously differentiable.
    """

    first: float  # log2 of the smallest profiled x
    spacing: float  # in log2 x
    log_start: Float[ArrayLike, ""]  # log of the latency below all knots
    slopes: Float[ArrayLike, " knots"]

    def latency(self, x: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch"]:
        """Seconds of one call at x >= 0."""
        xp: Any = library_of(self, x)
        count: Any = xp.asarray(x)
        if count.dtype.kind != "f":
            count = count.astype(float)
        ends = xp.asarray([0.0]), xp.asarray(self.slopes), xp.asarray([1.0])
        slopes = xp.concatenate([end.astype(count.dtype) for end in ends])
        rise = 0.5 * self.spacing * (slopes[1:] + slopes[:-1])
        heights = xp.concatenate([xp.zeros_like(slopes[:1]), xp.cumsum(rise)])
        position = self._position(count, xp)
        last = len(heights) - 1
        floor = xp.clip(xp.floor(position), 0.0, last - 1.0)
        cell, part = floor.astype(int), xp.clip(position - floor, 0.0, 1.0)
        bend = 0.5 * (slopes[cell + 1] - slopes[cell]) * part * part
        octaves = heights[cell] + self.spacing * (slopes[cell] * part + bend)
        beyond = self.spacing * xp.maximum(position - last, 0.0)
        start = xp.asarray(self.log_start, dtype=count.dtype)
        return xp.exp(start + _LN2 * (octaves + beyond))

    def _position(self, x: Any, xp: Any) -> Any:
        """Knots passed at x, counted from where the slope leaves 0."""
        bottom = self.first - self.spacing
        log_x = xp.log2(xp.maximum(x, 2.0**bottom))
        return (log_x - bottom) / self.spacing

    def to_record(self) -> dict[str, Any]:
        """Plain numbers of six digits, for a parameter file."""
        return {
            "first": float(f"{self.first:.6g}"),
            "spacing": float(f"{self.spacing:.6g}"),
            "log_start": float(f"{float(np.asarray(self.log_start)):.6g}"),
            "slopes": [float(f"{v:.6g}") for v in np.asarray(self.slopes)],
        }

    @staticmethod
    def from_record(record: dict[str, Any]) -> "TokenSpline":
        """The spline that `to_record` wrote."""
        slopes = np.asarray(record["slopes"], dtype=np.float64)
        return TokenSpline(record["first"], record["spacing"], record["log_start"], slopes)


def slope_integrals(
    log2_x: Float[np.ndarray, " rows"], first: float, spacing: float, num_knots: int
) -> tuple[Float[np.ndarray, "rows knots"], Float[np.ndarray, " rows"]]:
    """What a unit of each slope adds to the log of the latency, and the last slope of 1.

    The log latency of a `TokenSpline` is `log_start + matrix @ slopes + vector`: linear
    in what a fit looks for.
    """
    position = (log2_x - (first - spacing)) / spacing
    passed = np.clip(position[:, None] - np.arange(num_knots)[None, :], 0.0, 2.0)
    # The integral of a hat of width 2 and height 1 from its left end.
    area = np.where(passed < 1.0, 0.5 * passed**2, 1.0 - 0.5 * (2.0 - passed) ** 2)
    ramp = 0.5 * np.clip(position - num_knots, 0.0, 1.0) ** 2
    beyond = ramp + np.maximum(position - (num_knots + 1), 0.0)
    return _LN2 * spacing * area, _LN2 * spacing * beyond
