"""Matrix products on one GPU: from their dimensions to their cost."""

import math
from types import ModuleType
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from carbjax._surrogate.monotone_network import MonotoneNetwork, library_of

BYTES_PER_ACTIVATION = 2.0  # bf16

LARGEST_SHARPNESS = 4.0
_EDGE = 0.25  # half the width, in log units, over which a box's edge is rounded
_RISE = 0.01  # part of a tile over which its step is smoothed
_ROW_TILES = (64.0, 128.0, 256.0)
_WAVE_TILES = ((128.0, 128.0), (128.0, 256.0), (64.0, 128.0))  # rows, columns
NUM_FEATURES = 4 + len(_ROW_TILES) + len(_WAVE_TILES)


class Residual(eqx.Module):
    """What tiles, waves and kernel choice make of a roofline, known inside a box.

    There the log of the latency is `share log(roofline) + network(features)`, and both
    are non-decreasing in m, n and k.
    """

    network: MonotoneNetwork
    share: Float[ArrayLike, ""]  # of log(roofline), 0 to 1
    num_processors: float  # streaming multiprocessors: the tiles of one wave
    low: tuple[float, float, float]  # m, n, k
    high: tuple[float, float, float]


class Gemm(eqx.Module):
    """One surrogate for every matrix product `[m, k] x [k, n]` of a GPU.

        roofline(m, n, k) = launch + k_latency k + activation_byte activation_bytes
            + ((weight_byte weight_bytes)^p + (flop FLOPs)^p)^(1/p),   p = `sharpness`
        latency(z) = roofline(u)^share exp(network(features(u))) z / u,   u = min(z, box)

    for z = (m, n, k), `z / u` the product of the three ratios: above the profiled box,
    whose edges are rounded, latency is linear in each size. Below the box the network
    sees its edge. Positive, continuously differentiable and non-decreasing in m, n and k
    by construction. Without a residual it is the roofline everywhere.
    """

    launch: float  # s
    k_latency: float  # s per unit of k: the serial chain of one output tile
    weight_byte: float  # s a byte of weights
    activation_byte: float  # s a byte of input and output
    flop: float  # s a FLOP
    sharpness: float = 2.0
    residual: Residual | None = None

    def latency(
        self,
        m: Float[ArrayLike, "*batch"],
        n: Float[ArrayLike, "*batch"],
        k: Float[ArrayLike, "*batch"],
        bytes_per_weight: Float[ArrayLike, "*batch"] = 2.0,
    ) -> Float[Array, "*batch"]:
        """Seconds of one product. Any shapes that broadcast; m may be 0."""
        xp = library_of(self, m, n, k, bytes_per_weight)
        given = xp.broadcast_arrays(
            *(_floating(v, xp) for v in (m, n, k, bytes_per_weight))
        )
        flat = [v.reshape(-1) for v in given]
        if self.residual is None:
            latency = self._roofline_latency(flat, xp)
        else:
            latency = xp.exp(self._log_latency(self.residual, flat, xp))
        return latency.reshape(given[0].shape)

    def _roofline_latency(self, sizes: list[Any], xp: ModuleType) -> Any:
        """Seconds without the residual, of m, n, k and bytes a weight of one shape."""
        m, n, k, bytes_per_weight = sizes
        read = self.weight_byte * bytes_per_weight * n * k
        moved = self.activation_byte * BYTES_PER_ACTIVATION * m * (n + k)
        computed = self.flop * 2.0 * m * n * k
        # Scaled by the larger part, so that float32 holds the powers.
        largest, p = xp.maximum(read, computed), self.sharpness
        tiny = np.finfo(largest.dtype).tiny
        ratio = xp.clip(xp.minimum(read, computed) / largest, tiny, None)
        bend = largest * (1.0 + ratio**p) ** (1.0 / p)
        return self.launch + self.k_latency * k + moved + bend

    def _log_latency(self, r: Residual, sizes: list[Any], xp: ModuleType) -> Any:
        """Log of the latency, of m, n, k and bytes a weight of one shape."""
        excess = [_excess(z, high, xp) for z, high in zip(sizes[:3], r.high, strict=True)]
        within = [z * xp.exp(-e) for z, e in zip(sizes[:3], excess, strict=True)]
        log_roofline = xp.log(self._roofline_latency([*within, sizes[3]], xp))
        seen = [_raised(u, low, xp) for u, low in zip(within, r.low, strict=True)]
        features = _features(seen, log_roofline, r.num_processors, xp)
        return r.share * log_roofline + r.network(features, xp) + sum(excess)

    def to_record(self) -> dict[str, Any]:
        """Plain numbers of six digits, for a parameter file."""
        names = ("launch", "k_latency", "weight_byte", "activation_byte", "flop")
        record: dict[str, Any] = {
            name: float(f"{getattr(self, name):.6g}") for name in (*names, "sharpness")
        }
        if self.residual is not None:
            r = self.residual
            record["residual"] = {
                "network": r.network.to_record(),
                "share": float(f"{float(np.asarray(r.share)):.6g}"),
                "num_processors": r.num_processors,
                "low": list(r.low),
                "high": list(r.high),
            }
        return record

    @staticmethod
    def from_record(record: dict[str, Any]) -> "Gemm":
        """The surrogate that `to_record` wrote, or a plain roofline's numbers."""
        values = dict(record)
        found = values.pop("residual", None)
        return Gemm(**values, residual=None if found is None else _residual_of(found))


def _residual_of(record: dict[str, Any]) -> Residual:
    return Residual(
        network=MonotoneNetwork.from_record(record["network"]),
        share=record["share"],
        num_processors=record["num_processors"],
        low=tuple(record["low"]),
        high=tuple(record["high"]),
    )


def _features(
    sizes: list[Any], log_roofline: Any, processors: float, xp: ModuleType
) -> Any:
    """What the network sees, all non-decreasing in m, n and k; about -2 to 2 each."""
    m, n, k = sizes
    columns = [
        (xp.log(m) - 5.0) / 3.0,
        (xp.log(n) - 8.5) / 1.5,
        (xp.log(k) - 8.5) / 1.5,
        (log_roofline + 9.0) / 2.0,
    ]
    for rows in _ROW_TILES:
        columns.append((xp.log(_started(m / rows, 0.1, xp)) - 2.0) / 2.0)
    for rows, width in _WAVE_TILES:
        row_tiles = xp.maximum(_started(m / rows, 0.0, xp), 0.5)
        tiles = row_tiles * xp.maximum(_started(n / width, 0.0, xp), 0.5)
        columns.append(xp.log(_started(tiles / processors, 0.1, xp)) / 2.0)
    return xp.stack(columns, axis=-1)


def _started(count: Any, slope: float, xp: ModuleType) -> Any:
    """About `ceil(count)`, rising over the first `_RISE` of each unit: tiles begun.

    A part `slope` of it grows evenly, so that no logarithm meets 0.
    """
    whole = xp.floor(count)
    rise = xp.clip((count - whole) / _RISE, 0.0, 1.0)
    step = whole + rise * rise * (3.0 - 2.0 * rise)
    return (1.0 - slope) * step + slope * count


def _excess(value: Any, high: float, xp: ModuleType) -> Any:
    """A smooth max(log(value / high), 0): a parabola joins the two lines."""
    log_value = xp.log(xp.clip(value, high * math.exp(-2 * _EDGE), None))
    past = log_value - (math.log(high) - _EDGE)
    bend = xp.clip(past, 0.0, 2 * _EDGE)
    return bend * bend / (4 * _EDGE) + xp.clip(past - 2 * _EDGE, 0.0, None)


def _raised(value: Any, low: float, xp: ModuleType) -> Any:
    """A smooth max(value, low), alike."""
    log_value = xp.log(xp.clip(value, low * math.exp(-2 * _EDGE), None))
    short = xp.clip(math.log(low) + _EDGE - log_value, 0.0, 2 * _EDGE)
    floor = math.log(low) - _EDGE
    return xp.exp(xp.clip(log_value, floor, None) + short * short / (4 * _EDGE))


def _floating(value: Any, xp: ModuleType) -> Any:
    value = xp.asarray(value)
    return value if value.dtype.kind == "f" else value.astype(float)
