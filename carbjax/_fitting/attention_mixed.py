"""Prefill and decode that share one kernel, fitted together to batches of either and both.

A launch that both need is paid once; decode requests are computed in prefill's tiles
(`beside`), which costs more than the decode kernel would; and the kernel lasts at least
as long as its longest row of tiles (`serial`).
"""

import dataclasses as dc

import numpy as np
from jaxtyping import Bool, Float

from carbjax._fitting.attention_fit import (
    DECODE,
    HEAD_DIM,
    PREFILL,
    Grid,
    Work,
    decode_work,
    design_of,
    grid_cone,
    kernel_of,
    prefill_work,
)
from carbjax._fitting.attention_nnls import relative_fit
from carbjax._profiles.profile import Profile
from carbjax._surrogate.attention_forms import KernelFit, SharedKernel, least_kv_slope

# The decode tokens that weigh as much as one token of the chunk in the serial bound:
# the requests of a batch run side by side.
_SIDE_BY_SIDE = (4.0, 8.0, 16.0)
_PREFILL_KV = -1 - len(PREFILL.kv_knots or ())  # the column of plain z

BESIDE = Grid(
    token_knots=(256.0, 4096.0),
    pair_knots=(1e6, 6e6, 3e7),
    lengths=(256.0,),
    kv_knots=None,
    heads=(32.0,),
    groups=(4.0,),
)


@dc.dataclass(frozen=True)
class MixedFit:
    """Kernels of a GPU whose profile has batches of both kinds."""

    prefill: KernelFit
    decode: KernelFit
    shared: SharedKernel
    rms: float


def beside_work(rows: Profile) -> Work:
    """Decode requests as prefill's kernel sees them: in query heads."""
    width = rows.head_dim / HEAD_DIM
    return Work(
        tokens=rows.num_heads * rows.decode_tokens,
        pairs=rows.num_heads * width * rows.decode_kv,
        kv=None,
        heads=rows.num_heads,
        groups=rows.num_heads / rows.num_kv_heads,
    )


def fit_mixed(rows: Profile, train: Bool[np.ndarray, " rows"]) -> MixedFit:
    """The kernels and their sharing, of one head geometry.

    `rows` are batches of prefill, decode or both; those of one kind alone count as
    much in sum as those of both. All is monotone, also across the first request.
    """
    trials = [_fit(rows, train, ratio) for ratio in _SIDE_BY_SIDE]
    return min(trials, key=lambda fit: fit.rms)


def predict_mixed(fit: MixedFit, rows: Profile) -> Float[np.ndarray, " rows"]:
    """Seconds of one layer of each row."""
    prefill, decode = rows.prefill_kv > 0, rows.decode_tokens > 0
    alone = np.where(prefill, _of(fit.prefill, prefill_work(rows), PREFILL), 0.0)
    alone += np.where(decode, _of(fit.decode, decode_work(rows), DECODE), 0.0)
    beside = _of(fit.shared.beside, beside_work(rows), BESIDE)
    longest = np.hypot(rows.prefill_kv, rows.decode_kv / fit.shared.side_by_side)
    one, two = fit.prefill.coefficients[0, 0], fit.decode.coefficients[0, 0]
    slope = least_kv_slope(one, fit.prefill.kv_knots)
    slope = slope * rows.num_kv_heads * rows.head_dim / HEAD_DIM
    extra = beside + fit.shared.serial_share * slope * (longest - rows.prefill_kv)
    return alone + np.where(prefill & decode, extra - min(one[0, 0], two[0, 0]), 0.0)


def _fit(rows: Profile, train: Bool[np.ndarray, " rows"], ratio: float) -> MixedFit:
    prefill, decode = rows.prefill_kv > 0, rows.decode_tokens > 0
    both = prefill & decode
    pieces = [grid_cone(grid) for grid in (PREFILL, DECODE, BESIDE)]
    works = [prefill_work(rows), decode_work(rows), beside_work(rows)]
    scale = rows.num_kv_heads * rows.head_dim / HEAD_DIM
    columns = [
        np.ones((len(rows), 1)),  # the launch of prefill, at least that of any batch
        np.where(decode, 1.0, 0.0)[:, None],
        (scale * np.hypot(rows.prefill_kv, rows.decode_kv / ratio) * prefill)[:, None],
    ]
    # The first piece of a cone is its launch.
    for present, grid, work, cone_ in zip(
        (prefill, decode, both), (PREFILL, DECODE, BESIDE), works, pieces, strict=True
    ):
        columns.append(present[:, None] * design_of(grid, work, cone_[1:]))
    weights = train * np.where(both, 1.0, both.sum() / max((~both).sum(), 1))
    found = relative_fit(np.concatenate(columns, axis=1), rows.latency_s, weights)
    launch, more, serial = found.coefficients[:3]
    parts, at = [], 3
    for cone_ in pieces:
        share = found.coefficients[at : at + len(cone_) - 1]
        parts.append(np.einsum("p,pfc->fc", share, cone_[1:]))
        at += len(cone_) - 1
    first, second, third = parts
    first[0, 0], second[0, 0] = launch, launch + more
    first[0, _PREFILL_KV] += serial
    group = (float(rows.num_heads[0] / rows.num_kv_heads[0]),)
    shared = SharedKernel(
        beside=kernel_of(BESIDE, third[None]),
        serial_share=_share(
            serial, least_kv_slope(first, np.array(PREFILL.kv_knots or ()))
        ),
        side_by_side=ratio,
    )
    return MixedFit(
        kernel_of(_single(PREFILL, rows.num_heads[0], group), first[None]),
        kernel_of(_single(DECODE, rows.num_kv_heads[0], group), second[None]),
        shared,
        found.rms,
    )


def _share(part, whole) -> float:
    return float(min(part / whole, 1.0)) if whole > 0 else 0.0


def _single(grid: Grid, heads: float, groups: tuple[float, ...]) -> Grid:
    return dc.replace(grid, heads=(float(heads),), groups=groups)


def _of(kernel: KernelFit, work: Work, grid: Grid) -> Float[np.ndarray, " rows"]:
    return design_of(grid, work, kernel.coefficients[0, 0][None])[:, 0]
