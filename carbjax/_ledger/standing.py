"""What backends emit by being there: idle power, host and embodied carbon, by the hour."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from carbjax._ledger.group import Group, GroupResult, instant
from carbjax._serving.system import System
from carbjax._units import MICROSECONDS_PER_SECOND, SECONDS_PER_HOUR


def standing_rows(groups: Sequence[Group], results: Sequence[GroupResult]) -> pa.Table:
    """A row an hour of each backend's window, from its first arrival to its last token.

    Empty where machines exist only while they work: iterations carry all then.
    """
    system = groups[0].system
    calendar = groups[0].backends[0].has_calendar
    names = [backend.name for group in groups for backend in group.backends]
    start_s = np.concatenate([result.start_s for result in results])
    end_s = np.concatenate([result.end_s for result in results])
    if system.provisioning == "on_demand":
        end_s = start_s
    # A backend that nobody asked for anything has no window.
    first = np.nan_to_num(np.floor(start_s / SECONDS_PER_HOUR)).astype(np.int64)
    last = np.nan_to_num(np.ceil(end_s / SECONDS_PER_HOUR)).astype(np.int64)
    count = np.where(end_s > start_s, last - first, 0)
    who = np.repeat(np.arange(len(names)), count)
    place = np.arange(len(who)) - np.repeat(np.cumsum(count) - count, count)
    hours = (first[who] + place) * SECONDS_PER_HOUR
    low = np.maximum(hours, start_s[who])
    high = np.minimum(hours + SECONDS_PER_HOUR, end_s[who])
    stamps = pa.array(np.round(hours * MICROSECONDS_PER_SECOND).astype(np.int64))
    return pa.table(
        {
            "backend": pa.array(names).take(pa.array(who)),
            "hour": stamps.cast(pa.timestamp("us", "UTC")) if calendar else pa.array(hours),
            **_standing(system, low, high),
        }
    )


def _standing(system: System, low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
    """What a machine emits between each pair of instants."""
    if len(low) == 0:
        return {name: np.zeros(0) for name in ("energy_j", "idle_gco2e", "embodied_gco2e")}
    zero = float(low.min())
    series = system.carbon_intensity
    intensity = series.relative(None if series.is_constant else instant(zero))
    found = system.footprint.standing(
        jnp.asarray(low - zero), jnp.asarray(high - zero), intensity
    )
    return {
        "energy_j": np.asarray(found.energy_j),
        "idle_gco2e": np.asarray(found.idle),
        "embodied_gco2e": np.asarray(found.embodied),
    }
