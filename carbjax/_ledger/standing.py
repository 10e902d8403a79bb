"""What backends emit by being there: idle power, host and embodied carbon, by the hour."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from carbjax._ledger.group import Group, GroupResult, instant
from carbjax._units import SECONDS_PER_HOUR

_MICROSECONDS = 1e6


def standing_rows(groups: Sequence[Group], results: Sequence[GroupResult]) -> pa.Table:
    """A row an hour of each backend's window, from its first arrival to its last token.

    Empty where machines exist only while they work: iterations carry all then.
    """
    first = groups[0]
    calendar = first.backends[0].has_calendar
    tables = [
        _of_backend(group, name.name, start, end)
        for group, result in zip(groups, results, strict=True)
        for name, start, end in zip(
            group.backends, result.start_s, result.end_s, strict=True
        )
        if first.system.provisioning == "always_on" and np.isfinite(start)
    ]
    if not tables:
        return _table([], np.zeros(0), np.zeros((3, 0)), calendar)
    return pa.concat_tables(tables)


def _of_backend(group: Group, name: str, start_s: float, end_s: float) -> pa.Table:
    first = np.floor(start_s / SECONDS_PER_HOUR)
    hours = np.arange(first, np.ceil(end_s / SECONDS_PER_HOUR)) * SECONDS_PER_HOUR
    low = np.maximum(hours, start_s) - start_s
    high = np.minimum(hours + SECONDS_PER_HOUR, end_s) - start_s
    series = group.system.carbon_intensity
    epoch = None if series.is_constant else instant(start_s)
    intensity = series.relative(epoch)
    standing = jax.vmap(group.system.footprint.standing, in_axes=(0, 0, None))(
        jnp.asarray(low), jnp.asarray(high), intensity
    )
    values = np.stack([standing.energy_j, standing.idle, standing.embodied])
    return _table([name] * len(hours), hours, values, group.backends[0].has_calendar)


def _table(
    names: list[str], hours: np.ndarray, values: np.ndarray, calendar: bool
) -> pa.Table:
    stamps = pa.array(np.round(hours * _MICROSECONDS).astype(np.int64))
    return pa.table(
        {
            "backend": pa.array(names, pa.string()),
            "hour": stamps.cast(pa.timestamp("us", "UTC")) if calendar else pa.array(hours),
            "energy_j": values[0],
            "idle_gco2e": values[1],
            "embodied_gco2e": values[2],
        }
    )
