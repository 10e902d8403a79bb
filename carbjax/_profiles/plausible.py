"""Latencies compared with the work of their calls: are they in the unit they claim?"""

import numpy as np
from jaxtyping import Bool

from carbjax._errors import InputError
from carbjax._profiles.profile import Floats, Profile
from carbjax._profiles.units import TimeUnit, suspected
from carbjax._profiles.work import least_latency, slow_latency, usual_latency
from carbjax._traces.table import Table

FAR = 60.0
"""How many times too long or too short a latency is that no GPU explains."""
TOO_LONG = "latencies 60 times too long for their work, a disturbed measurement"
TOO_SHORT = "latencies too short for their work on any GPU, another kernel was timed"
_A_UNIT = 200.0  # times off from which another unit is suspected, not a disturbance
_LIKE_IT, _WELL_BELOW = 1.5, 4.0
"""Calls as quick as a wrong kernel, and so far below their work, timed it too."""
_UNJUDGED = ("layer", "idle")

Rows = Bool[np.ndarray, " rows"]


def implausible(
    profile: Profile, table: Table, rows: np.ndarray, column: str, unit: TimeUnit
) -> dict[str, Rows]:
    """Rows whose latency cannot be that of their work, by reason.

    Every label is judged by `usual_latency`. If its median call is `FAR` times longer or
    shorter, the column has another unit; if some calls are about a thousand times off
    their median, it mixes units: both raise the table's error, with the suspected unit.
    Calls that are off for other reasons, or faster than any GPU, are to be left out.
    `rows` are the profile's rows in the table.
    """
    long, short = np.zeros((2, len(profile)), dtype=bool)
    for label in np.unique(profile.label):
        here = (profile.label == label) & ~np.isin(profile.operator, _UNJUDGED)
        if here.any():
            some = profile.select(here)
            times = some.latency_s / usual_latency(some)
            middle = _middle(times)
            if not 1 / FAR < middle < FAR:
                raise _whole_column(table, column, unit, str(label), middle)
            long[here], short[here] = _off(some, times, middle)
            _refuse_mixed(some, times / middle, long[here], table, rows[here], column, unit)
            _refuse_mixed(
                some, times / middle, short[here], table, rows[here], column, unit
            )
    return {TOO_LONG: long, TOO_SHORT: short}


def _off(some: Profile, times: Floats, middle: float) -> tuple[Rows, Rows]:
    """Calls that are too long, even for a slow kernel, and too short, for any GPU."""
    long = some.latency_s > FAR * max(middle, 1.0) * slow_latency(some)
    short = (times < middle / FAR) | (some.latency_s < least_latency(some))
    if short.any() and _alike(some.latency_s[short], usual_latency(some)[short]):
        quick = some.latency_s <= _LIKE_IT * some.latency_s[short].max()
        short |= quick & (times < middle / _WELL_BELOW)
    return long, short


def _refuse_mixed(
    some: Profile,
    times: Floats,
    off: Rows,
    table: Table,
    rows: np.ndarray,
    column: str,
    unit: TimeUnit,
) -> None:
    """Nothing, or the error that the calls `off` are in another unit than the rest."""
    if not off.any():
        return
    typical = _middle(times[off])
    if 1 / _A_UNIT < typical < _A_UNIT or _alike(
        some.latency_s[off], usual_latency(some)[off]
    ):
        return
    record = int(rows[np.flatnonzero(off)[0]])
    raise table.fail(
        f"the latency of {table.shown(column, record)} is about {_far(typical)} beside "
        f"the rest of the column; {_guess(unit, typical)}.",
        record,
        column,
        hint=f"Give {unit.name} in every row.",
    )


def _alike(latency_s: Floats, usual_s: Floats) -> bool:
    """Whether the latencies do not follow the work, as those of one wrong kernel."""
    spread = np.std(np.log(usual_s))
    return bool(spread > 0.1 and np.std(np.log(latency_s)) < 0.5 * spread)


def _middle(times: Floats) -> float:
    return float(np.exp(np.median(np.log(times))))


def _whole_column(
    table: Table, column: str, unit: TimeUnit, label: str, times: float
) -> InputError:
    return table.fail(
        f"the latencies of {label} are about {_far(times)} for their FLOPs and bytes; "
        f"{_guess(unit, times)}.",
        column=column,
        hint=f"Give {unit.name}.",
    )


def _far(times: float) -> str:
    return (
        f"{times:.0f} times too long" if times > 1 else f"{1 / times:.0f} times too short"
    )


def _guess(unit: TimeUnit, times: float) -> str:
    name = suspected(unit, times)
    if name is None:
        return f"no unit of time makes up for it ({unit.name} was read)"
    return f"it looks like {name}, not {unit.name}"
