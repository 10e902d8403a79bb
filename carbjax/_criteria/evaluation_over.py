"""From numbers of single workloads to numbers over all of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from carbjax._criteria.bootstrap import Interval, bootstrap
from carbjax._criteria.evaluation_rows import Row, refused
from carbjax._criteria.scaling_workloads import AXES

_BY_LOAD = ("relative", "R_prompt", "R_decode")
_FEWEST = 3  # rewards at a point of a curve
_HUGE = 1e300  # stands for infinity, so that quantiles of it are numbers


class _Key(NamedTuple):
    criterion: str
    method: str
    quantity: str
    unit: str
    group: str | None


def over_workloads(
    rows: Sequence[Row], loads: Sequence[float], *, level: float, seed: int
) -> list[Row]:
    """Medians with bootstrap intervals; for distances and rewards by load too.

    A method that refused some workloads is judged on the others, and the reason says so.
    """
    single = [row for row in rows if row.workload is not None]
    found = []
    for key, members in _grouped(single).items():
        reason = _reason(single, key.criterion, key.method, members)
        found.append(_median(key, members, reason, level, seed))
        if key.quantity in _BY_LOAD and len(set(loads)) > 1:
            found += _by_load(key, members, loads, level, seed)
    return found + _refused_everywhere(single) + _verdicts(rows)


def curves(rewards: Iterable[Mapping], *, level: float, seed: int) -> list[dict]:
    """Median reward against tokens, which are grouped by powers of two."""
    bins: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for each in rewards:
        if each["tokens"] >= 1:
            size = int(math.log2(each["tokens"]))
            place = each["method"], each["part"], size
            bins.setdefault(place, []).append((each["tokens"], each["reward"]))
    found = []
    for (method, part, _), members in sorted(bins.items()):
        if len(members) < _FEWEST:
            continue
        tokens, values = np.array(members).T
        interval = bootstrap(values, np.median, seed=seed, level=level, kind="percentile")
        found.append(
            {
                "method": method,
                "part": part,
                "tokens": float(np.exp(np.log(tokens).mean())),
                "reward": float(np.median(values)),
                "lower": interval.low,
                "upper": interval.high,
            }
        )
    return found


def median_interval(
    values: Sequence[float], *, level: float, seed: int
) -> tuple[float, Interval]:
    """The median and its bootstrap interval; values may be infinite, not NaN."""
    sample = np.asarray(values, float)
    if np.isfinite(sample).all():
        return float(np.median(sample)), bootstrap(
            sample, np.median, seed=seed, level=level
        )
    finite = np.clip(sample, -_HUGE, _HUGE)
    found = bootstrap(finite, np.median, seed=seed, level=level, kind="percentile")
    ends = [math.inf if end > _HUGE / 1e6 else end for end in (found.low, found.high)]
    middle = float(np.median(finite))
    return (
        math.inf if middle > _HUGE / 1e6 else middle,
        Interval(ends[0], ends[1], level),
    )


def _grouped(rows: Iterable[Row]) -> dict[_Key, list[Row]]:
    groups: dict[_Key, list[Row]] = {}
    for row in rows:
        if row.status == "ok":
            key = _Key(row.criterion, row.method, row.quantity, row.unit, row.group)
            groups.setdefault(key, []).append(row)
    return groups


def _median(
    key: _Key, members: list[Row], reason: str | None, level: float, seed: int
) -> Row:
    values = [r.value for r in members if r.value is not None and not math.isnan(r.value)]
    row = Row(
        key.criterion,
        key.method,
        key.quantity,
        None,
        key.unit,
        key.group,
        num_values=len(values),
        reason=reason,
    )
    if not values:
        return row
    middle, interval = median_interval(values, level=level, seed=seed)
    return row._replace(value=middle).within(interval)


def _by_load(
    key: _Key, members: list[Row], loads: Sequence[float], level: float, seed: int
) -> list[Row]:
    found = []
    for load in sorted(set(loads)):
        part = [r for r in members if r.workload is not None and loads[r.workload] == load]
        if part:
            labelled = key._replace(group=f"load {load:g}")
            found.append(_median(labelled, part, None, level, seed))
    return found


def _reason(
    rows: Sequence[Row], criterion: str, method: str, members: list[Row]
) -> str | None:
    """How many workloads are left out and why, else what the first member says."""
    out = [
        r
        for r in rows
        if (r.criterion, r.method, r.status) == (criterion, method, "refused")
    ]
    if not out:
        return next((row.reason for row in members if row.reason), None)
    return f"{len(out)} of {len(out) + len(members)} workloads refused: {out[0].reason}"


def _refused_everywhere(rows: Sequence[Row]) -> list[Row]:
    well = {(row.criterion, row.method) for row in rows if row.status == "ok"}
    out: dict[tuple[str, str], str] = {}
    for row in rows:
        place = row.criterion, row.method
        if row.status == "refused" and place not in well:
            out.setdefault(place, row.reason or "")
    return [refused(*place, reason) for place, reason in out.items()]


def _verdicts(rows: Sequence[Row]) -> list[Row]:
    """Scalability over all axes, and how many axioms are broken."""
    found = []
    for name in dict.fromkeys(row.method for row in rows):
        mine = [row for row in rows if row.method == name and row.status == "ok"]
        axes = [row.value for row in mine if row.quantity == "polynomial"]
        if axes:
            known = [value for value in axes if value is not None]
            sure = 0.0 in known or len(known) == len(AXES)
            verdict = min(known) if sure else None
            words = {0.0: "exponential", 1.0: "polynomial", None: "unknown"}[verdict]
            row = Row("scalability", name, "polynomial", verdict, num_values=len(axes))
            found.append(row._replace(reason=words))
        broken = [row.value for row in mine if row.quantity == "broken"]
        if broken:
            number = float(sum(value or 0.0 for value in broken))
            row = Row("axioms", name, "num_broken", number, num_values=len(broken))
            found.append(row)
    return found
