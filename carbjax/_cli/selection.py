"""The part of a trace that was asked for."""

import datetime as dt
import zoneinfo

import numpy as np

from carbjax._errors import ConfigError
from carbjax._settings.sections import Instant, TraceSettings
from carbjax._workload import Workload


def selected(workload: Workload, trace: TraceSettings) -> Workload:
    """The requests that arrive in the window, of these the first `limit` to arrive.

    Raises `ConfigError` for an instant that cannot be placed, `WorkloadError` where no
    request is left.
    """
    arrival_s = workload.arrival_s
    chosen = np.ones(workload.num_requests, bool)
    if trace.start is not None:
        chosen &= arrival_s >= _seconds("--from", trace.start, workload, trace.tz)
    if trace.until is not None:
        chosen &= arrival_s < _seconds("--until", trace.until, workload, trace.tz)
    if trace.limit is not None:
        inside = np.flatnonzero(chosen)
        order = np.argsort(arrival_s[inside], kind="stable")
        chosen[inside[order[trace.limit :]]] = False
    return workload.select(chosen)


def _seconds(name: str, given: Instant, workload: Workload, tz: str | None) -> float:
    """`given` on the clock of the arrivals, s."""
    offset = _number(given)
    if offset is not None:
        return float(workload.arrival_s.min()) + offset
    instant = given if isinstance(given, dt.datetime) else _parsed(name, str(given))
    if workload.epoch is None:
        raise ConfigError(
            f"`{name}` is {given}, and the trace has no calendar.",
            hint="Give seconds after the first arrival.",
        )
    if instant.tzinfo is None:
        if tz is None:
            raise ConfigError(
                f"`{name}` is {given}, without a time zone.",
                hint="Write it with its offset, such as 2023-11-16T18:20:00Z, or give "
                "--tz.",
            )
        instant = instant.replace(tzinfo=zoneinfo.ZoneInfo(tz))
    return (instant - workload.epoch).total_seconds()


def _number(given: Instant) -> float | None:
    if isinstance(given, dt.datetime):
        return None
    try:
        return float(given)
    except ValueError:
        return None


def _parsed(name: str, given: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(given)
    except ValueError:
        raise ConfigError(
            f"`{name}` is {given!r}.",
            hint="Give ISO 8601, such as 2023-11-16T18:20:00Z, or seconds after the first "
            "arrival.",
        ) from None
