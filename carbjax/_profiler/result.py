"""What was measured, as carbjax's own profile and a summary of how well it went."""

import dataclasses as dc
import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from carbjax._profiler.additivity import LayerCheck, Seen, check_layers
from carbjax._profiler.estimate import Rates, fastest_seconds
from carbjax._profiler.measure import Measurement
from carbjax._profiler.plan import Plan
from carbjax._profiler.point import features
from carbjax._profiler.protocol import Protocol
from carbjax._profiler.temperature import Correction, corrected_power, correction
from carbjax._profiles.profile import Profile

SOURCE = "carbjax profile"
_FASTER_THAN_POSSIBLE = 0.8


@dc.dataclass(frozen=True)
class Device:
    """What was measured on. NaN for a power limit that nobody told."""

    name: str
    power_limit_w: float
    rates: Rates | None  # of the datasheet, where the device is known


@dc.dataclass(frozen=True)
class Outcome:
    """A profile, and what to know before it is used."""

    profile: Profile
    checks: tuple[LayerCheck, ...]
    correction: Correction
    num_rejected: int  # windows that were measured again, or kept for want of better
    num_hot: int  # points slowed down by heat to the end
    num_uncertain: int  # points whose power stayed uncertain by more than the protocol's
    too_fast: tuple[str, ...]  # labels that beat the datasheet: something was left out
    instant_difference: float  # median of mean instant power over the slope, less 1
    extras: dict[str, Any]  # per label, what a profile has no column for

    def summary(self) -> dict[str, Any]:
        """Plain values, None where not known."""
        checks = [
            {key: _known(value) for key, value in dc.asdict(check).items()}
            for check in self.checks
        ]
        return {
            "num_rows": len(self.profile),
            "rows_by_operator": dict(Counter(self.profile.operator.tolist())),
            "windows_rejected": self.num_rejected,
            "points_slowed_by_heat": self.num_hot,
            "points_of_uncertain_power": self.num_uncertain,
            "points_without_cudnn": sum(
                extra["attention"] == "xla" for extra in self.extras.values()
            ),
            "points_faster_than_the_datasheet": list(self.too_fast),
            "instant_power_minus_counter_percent": _known(100 * self.instant_difference),
            "watts_per_kelvin": _known(self.correction.watts_per_kelvin)
            if self.correction.is_identified
            else None,
            "reference_temperature_c": _known(self.correction.reference_c),
            "additivity_percent": checks,
        }


def outcome(
    plan: Plan,
    measured: Sequence[Measurement],
    device: Device,
    protocol: Protocol,
    *,
    tensor_parallel: int,
) -> Outcome:
    """The profile of what was measured; rows stand in the order of measurement."""
    to = correction(measured, device.power_limit_w)
    powers = np.array([corrected_power(m, to, device.power_limit_w) for m in measured])
    latencies = np.array([m.latency_s for m in measured])
    too_fast = _too_fast(plan, measured, device)
    profile = _profile(plan, measured, device, protocol, powers, too_fast, tensor_parallel)
    rates = device.rates or Rates("unknown", 1e12, 1e14)
    seen = [
        Seen(m.point, t, p * t) for m, t, p in zip(measured, latencies, powers, strict=True)
    ]
    metered = [m for m in measured if m.slope.num_ticks]
    uncertain = [m for m in metered if not m.is_good(protocol) and not m.was_hot]
    return Outcome(
        profile=profile,
        checks=check_layers(seen, plan.shape, rates),
        correction=to,
        num_rejected=sum(m.num_rejected for m in measured),
        num_hot=sum(m.was_hot for m in measured),
        num_uncertain=len(uncertain),
        too_fast=tuple(sorted(too_fast)),
        instant_difference=_instant_difference(metered),
        extras=_extras(measured),
    )


def metadata(
    plan: Plan, found: Outcome, protocol: Protocol, about: dict[str, Any]
) -> dict[bytes, bytes]:
    """Key and value pairs of the Parquet file: `carbjax_profiler`, as JSON."""
    content = {
        **about,
        "protocol": dc.asdict(protocol),
        "layer_of_one_gpu": dc.asdict(plan.shape),
        "points_left_out": [point.label for point in plan.left_out],
        "points": found.extras,
        **found.summary(),
    }
    return {b"carbjax_profiler": json.dumps(content).encode()}


def _profile(
    plan: Plan,
    measured: Sequence[Measurement],
    device: Device,
    protocol: Protocol,
    powers: np.ndarray,
    too_fast: set[str],
    tensor_parallel: int,
) -> Profile:
    rows = [features(m.point, plan.shape) for m in measured]
    names = sorted({name for row in rows for name in row})
    sizes: dict[str, Any] = {
        name: np.array([row.get(name, 0.0) for row in rows]) for name in names
    }
    trusted = [not m.was_hot and m.point.label not in too_fast for m in measured]
    return Profile.of(
        np.array([m.point.operator for m in measured]),
        np.array([m.latency_s for m in measured]),
        label=np.array([m.point.name for m in measured]),
        source=SOURCE,
        device=device.name,
        precision="bfloat16",
        tensor_parallel=float(tensor_parallel),
        power_w=powers,
        power_limit_w=device.power_limit_w,
        weight=np.array(
            [m.point.weight * ok for m, ok in zip(measured, trusted, strict=True)]
        ),
        power_weight=np.array(
            [
                _power_weight(m, protocol) * ok
                for m, ok in zip(measured, trusted, strict=True)
            ]
        ),
        sm_clock_hz=np.array([m.sm_clock_hz for m in measured]),
        temperature_c=np.array([m.temperature_c for m in measured]),
        **sizes,
    )


def _power_weight(measured: Measurement, protocol: Protocol) -> float:
    """1 up to the largest error of a good window, then as the inverse of the variance."""
    error = measured.slope.relative_error
    if not math.isfinite(error):
        return 0.0
    return measured.point.power_weight * min(
        1.0, (protocol.max_slope_error / max(error, 1e-9)) ** 2
    )


def _too_fast(plan: Plan, measured: Sequence[Measurement], device: Device) -> set[str]:
    """Labels whose latency no kernel can reach: the compiler left out work.

    What may stay in the cache is not judged.
    """
    if device.rates is None:
        return set()
    return {
        m.point.label
        for m in measured
        if m.point.operator in ("gemm", "prefill_attention", "decode_attention")
        and m.latency_s
        < _FASTER_THAN_POSSIBLE * fastest_seconds(m.point, plan.shape, device.rates)
    }


def _instant_difference(metered: Sequence[Measurement]) -> float:
    ratios = [
        m.instant_power_w / m.slope.power_w for m in metered if m.point.kind != "idle"
    ]
    known = [ratio for ratio in ratios if math.isfinite(ratio)]
    return float(np.median(known)) - 1.0 if known else math.nan


def _extras(measured: Sequence[Measurement]) -> dict[str, Any]:
    return {
        f"{m.point.label}, again" if m.point.is_repeat else m.point.label: {
            "attention": m.implementation if m.point.chunk or m.point.contexts else None,
            "instant_power_w": _known(m.instant_power_w),
            "memory_power_w": _known(m.memory_power_w),
            "power_stderr_w": _known(m.slope.stderr_w),
            "counter_ticks": m.slope.num_ticks,
            "windows_rejected": m.num_rejected,
            "slowed_by_heat": m.was_hot,
        }
        for m in measured
    }


def _known(value: Any) -> Any:
    is_unknown = isinstance(value, float) and not math.isfinite(value)
    return None if is_unknown else value
