"""Calls that were measured several times."""

import dataclasses as dc

import numpy as np
from jaxtyping import Int

from carbjax._profiles.profile import COLUMNS, MEASURED, Profile

_TRUST = ("weight", "power_weight")
_KEYS = tuple(c for c in COLUMNS if c not in (*MEASURED, *_TRUST))


def average_repeats(profile: Profile) -> Profile:
    """One row a call, in the order of first sight, with the mean of what was measured.

    Calls are the same where all but measurements and weights is. Powers are averaged
    by their trust, so a distrusted reading does not spoil a trusted one; the best trust
    is kept. Repeats are counted in `averaged`.
    """
    if len(profile) == 0:
        return profile
    first, call = _calls(profile)
    if len(first) == len(profile):
        return profile
    ones = np.ones(len(profile))
    mean = {c: _mean(getattr(profile, c), ones, call) for c in MEASURED}
    trusted = _mean(profile.power_w, profile.power_weight, call)
    mean["power_w"] = np.where(np.isnan(trusted), mean["power_w"], trusted)
    mean["weight"] = _mean(profile.weight, ones, call)
    best = np.zeros(len(first))
    np.maximum.at(best, call, profile.power_weight)
    same_energy = np.allclose(
        profile.energy_j, profile.latency_s * profile.power_w, equal_nan=True
    )
    if same_energy:
        mean["energy_j"] = mean["latency_s"] * mean["power_w"]
    kept = {c: getattr(profile, c)[first] for c in _KEYS}
    return dc.replace(
        profile,
        **kept,
        **mean,
        power_weight=best,
        averaged=profile.averaged + len(profile) - len(first),
    )


def _calls(profile: Profile) -> tuple[Int[np.ndarray, " calls"], Int[np.ndarray, " rows"]]:
    """First row of each different call, and the call of each row."""
    code = np.zeros(len(profile), dtype=np.int64)
    for name in _KEYS:
        values, inverse = np.unique(getattr(profile, name), return_inverse=True)
        if len(values) > 1:
            _, code = np.unique(code * len(values) + inverse, return_inverse=True)
    _, first, call = np.unique(code, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[call]


def _mean(values, weights, call):
    """Mean over the known values of each call, NaN where there is none."""
    known = np.isfinite(values) & (weights > 0)
    total = np.bincount(call, np.where(known, values * weights, 0.0), call.max() + 1)
    count = np.bincount(call, np.where(known, weights, 0.0), call.max() + 1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
