"""Power of the operators of one's own profile."""

import dataclasses as dc
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from carbjax._fitting import fit as f
from carbjax._fitting.axes import splits_of
from carbjax._fitting.fit import GpuFacts, Rows
from carbjax._fitting.report import Report, judge
from carbjax._profiles.profile import Profile
from carbjax._surrogate.power import PowerModel

TRUSTED = 0.5
"""From this `power_weight` on a reading judges a fit, and is drawn."""
_FEWEST_READINGS = 8
_CAP = 0.985  # of the power limit: what an operator at the limit draws, on average
_START = PowerModel(150.0, 1.0, 1e-10, 0.8e-12)
_ALL = "static_power byte_energy flop_energy max_power"

Floats = Float[np.ndarray, " rows"]


class _Class(NamedTuple):
    name: str
    rows: Profile
    bytes_moved: Floats
    flops: Floats


def fit_powers_of(profile: Profile, gpu: GpuFacts) -> tuple[dict[str, PowerModel], Report]:
    """Power models by operator class, and their errors on held-out trusted readings.

    Static power, the cap and the energies of a byte and a FLOP come from the matrix
    products; attention has a multiplier on the energies, elementwise kernels and
    all-reduce have none. Classes without enough trusted readings have no model; without
    products there is none at all.
    """
    models: dict[str, PowerModel] = {}
    report = Report()
    start = dc.replace(_START, max_power=_CAP * gpu.max_power)
    for each in _classes(profile):
        if (each.rows.power_weight >= TRUSTED).sum() < _FEWEST_READINGS:
            continue
        if each.name != "gemm" and "gemm" not in models:
            continue
        free = _ALL if each.name == "gemm" else "multiplier"
        begin = models.get("gemm", start)
        report += _judged(each, begin, free)
        everything = np.ones(len(each.rows), dtype=bool)
        models[each.name] = _fit(each, begin, everything, free)
    if "gemm" in models:
        models["elementwise"] = models["all_reduce"] = models["gemm"]
    return models, report


def fitted_power(model: PowerModel | None, rows: Profile, latency_s: Floats) -> Floats:
    """W of calls of one operator that take `latency_s`; NaN without a model."""
    if model is None:
        return np.full(len(rows), np.nan)
    products = rows.gemm_bytes * (rows.operator == "gemm")
    moved = products + rows.prefill_bytes + rows.decode_bytes + rows.message_bytes
    flops = rows.gemm_flops * (rows.operator == "gemm")
    flops = flops + rows.prefill_flops + rows.decode_flops
    return np.asarray(f.power_of(model, moved, flops, latency_s))


def _classes(profile: Profile) -> Iterator[_Class]:
    measured = profile.select(np.isfinite(profile.power_w))
    gemm = measured.of_operator("gemm")
    yield _Class("gemm", gemm, gemm.gemm_bytes, gemm.gemm_flops)
    prefill = measured.of_operator("prefill_attention")
    yield _Class("prefill_attention", prefill, prefill.prefill_bytes, prefill.prefill_flops)
    decode = measured.of_operator("decode_attention")
    yield _Class("decode_attention", decode, decode.decode_bytes, decode.decode_flops)


def _fit(each: _Class, start: PowerModel, train: Rows, free: str) -> PowerModel:
    found, _ = f.fit_power(each.bytes_moved, each.flops, each.rows, start, train, free=free)
    return found


def _judged(each: _Class, start: PowerModel, free: str) -> Report:
    trusted = each.rows.power_weight >= TRUSTED

    def predict(train: Rows) -> Floats:
        model = _fit(each, start, train, free)
        latency = each.rows.latency_s
        return np.asarray(f.power_of(model, each.bytes_moved, each.flops, latency))

    splits = tuple(
        split._replace(folds=tuple((train, test & trusted) for train, test in split.folds))
        for split in splits_of(each.rows)
    )
    return judge(f"{each.name} power", predict, each.rows.power_w, splits)
