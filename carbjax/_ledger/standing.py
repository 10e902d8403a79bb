"""What backends emit by being there: idle power, host and embodied carbon, by the hour."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from carbjax._carbon.emissions import Emissions
from carbjax._carbon.intensity import Intensity
from carbjax._ledger.group import Group, GroupResult, instant
from carbjax._ledger.rollups import MARKET
from carbjax._units import MICROSECONDS_PER_SECOND, SECONDS_PER_HOUR


def standing_rows(groups: Sequence[Group], results: Sequence[GroupResult]) -> pa.Table:
    """A row an hour of each backend's window, from its first arrival to its last token.

    None where machines exist only while they work: iterations carry all then.
    """
    pairs = zip(groups, results, strict=True)
    return pa.concat_tables([_rows_of(group, result) for group, result in pairs])


def _rows_of(group: Group, result: GroupResult) -> pa.Table:
    calendar = group.backends[0].has_calendar
    names = [backend.name for backend in group.backends]
    start_s, end_s = result.start_s, result.end_s
    if group.system.provisioning == "on_demand":
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
            "model": pa.repeat(group.model, len(who)),
            "hour": stamps.cast(pa.timestamp("us", "UTC")) if calendar else pa.array(hours),
            **_standing(group, low, high),
        }
    )


def _standing(group: Group, low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
    """What a machine emits between each pair of instants."""
    names = "energy_j", "idle_gco2e", "embodied_gco2e"
    bought = () if group.market is None else (MARKET,)
    if len(low) == 0:
        return {name: np.zeros(0) for name in (*names, *bought)}
    zero = float(low.min())

    def emitted(series: Intensity) -> Emissions:
        intensity = series.relative(None if series.is_constant else instant(zero))
        span = jnp.asarray(low - zero), jnp.asarray(high - zero)
        return group.system.footprint.standing(*span, intensity)

    found = emitted(group.system.carbon_intensity)
    columns = {
        name: np.asarray(getattr(found, part))
        for name, part in zip(names, ("energy_j", "idle", "embodied"), strict=True)
    }
    if group.market is not None:
        columns[MARKET] = np.asarray(emitted(group.market).idle)
    return columns
