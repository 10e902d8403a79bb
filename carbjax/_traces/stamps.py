"""Time stamps as UTC instants, in integer nanoseconds since 1970."""

import datetime as dt
import difflib
import zoneinfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from carbjax._errors import InputError
from carbjax._traces.columns import Table
from carbjax._traces.values import converted, matches, present, refused

NANOSECONDS_PER_SECOND = 10**9
_NANOSECONDS_PER_MINUTE = 60 * NANOSECONDS_PER_SECOND
_STAMP = r"^[+-]?\d{4,}-\d{2}-\d{2}[T ]\d{2}:\d{2}"
_ZONED = r":\d{2}(\.\d+)?(Z|[+-]\d{2}(:?\d{2})?)$"


def instants(
    table: Table,
    column: str,
    zone: zoneinfo.ZoneInfo | None,
    zone_option: str = "--tz",
) -> Int[np.ndarray, " rows"]:
    """UTC nanoseconds of a column of ISO 8601 stamps or Parquet timestamps.

    Stamps that carry an offset say when they are. Naive ones are local times of `zone`;
    without one they are an error, as are those that the zone's clock changes skip or
    repeat, and a mixture of both kinds. Errors name `zone_option` of the command line as
    the way to give the zone.
    """
    values = present(table, column)
    if pa.types.is_timestamp(values.type):
        zoned, parsed = values.type.tz is not None, _nanoseconds(table, column, values)
    else:
        zoned, parsed = _parse(table, column, values)
    if zoned:
        return parsed
    if zone is None:
        first = pc.index(values.is_valid(), True).as_py()
        raise table.fail(
            f"the time stamp {table.shown(column, first)} has no time zone.",
            first,
            column,
            hint=f'Say in which zone it was taken: `{zone_option} UTC`, or tz="UTC" in '
            "Python.",
        )
    return _localised(table, column, parsed, zone)


def time_zone(tz: str | None, error: type[InputError]) -> zoneinfo.ZoneInfo | None:
    """The IANA zone of that name, or `error` with one that is spelt alike."""
    if tz is None:
        return None
    try:
        return zoneinfo.ZoneInfo(tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        known = zoneinfo.available_timezones()
        near = difflib.get_close_matches(str(tz), known, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        missing = "" if known else " Install the package `tzdata`: it lists the zones."
        raise error(
            f"there is no time zone {tz!r}.",
            hint=f"{guess}Give an IANA name such as 'UTC' or 'Europe/Berlin'.{missing}",
        ) from None


def _parse(table: Table, column: str, values: pa.Array) -> tuple[bool, np.ndarray]:
    if not pa.types.is_string(values.type):
        raise table.fail(
            f"the column holds {values.type}, not time stamps.",
            column=column,
            hint="Give ISO 8601 stamps.",
        )
    stamps, zoned = matches(values, _STAMP), matches(values, _ZONED)
    is_zoned = bool(zoned[np.argmax(stamps)])
    this, others = ("no", "one") if is_zoned else ("a", "none")
    values = refused(
        table,
        column,
        values,
        stamps & (zoned != is_zoned),
        lambda index: (
            f"the time stamp {table.shown(column, index)} has {this} time zone; those "
            f"before it have {others}."
        ),
        "Write all stamps alike.",
    )
    return is_zoned, _nanoseconds(table, column, values, "UTC" if is_zoned else None)


def _nanoseconds(
    table: Table, column: str, values: pa.Array, tz: str | None = None
) -> np.ndarray:
    def convert(some: pa.Array) -> pa.Array:
        zone = some.type.tz if pa.types.is_timestamp(some.type) else tz
        return some.cast(pa.timestamp("ns", zone))

    stamps = converted(
        table,
        column,
        values,
        convert,
        lambda index: (
            f"{table.shown(column, index)!r} is not a time stamp between 1678 and 2262."
        ),
        "Give ISO 8601, such as 2023-11-16T18:15:46.680Z.",
    ).cast(pa.int64())
    # What was set aside takes any time; nothing comes of it.
    return pc.fill_null(stamps, 0).to_numpy()


def _localised(
    table: Table, column: str, local: np.ndarray, zone: zoneinfo.ZoneInfo
) -> np.ndarray:
    # Offsets change on whole minutes, and few minutes are distinct: ask for those alone.
    minutes, which = np.unique(local // _NANOSECONDS_PER_MINUTE, return_inverse=True)
    offsets = np.empty((len(minutes), 2), np.int64)
    for i, minute in enumerate(minutes.tolist()):
        naive = dt.datetime(1970, 1, 1) + dt.timedelta(minutes=minute)
        offsets[i] = [_offset_seconds(naive, zone, fold) for fold in (0, 1)]

    def problem(index: int) -> str:
        before, after = offsets[which[index]]
        what = "never happened" if before < after else "happened twice"
        shown = table.shown(column, index)
        return f"the local time {shown} {what} in {zone.key}, where clocks were changed."

    table.refuse(
        offsets[which, 0] != offsets[which, 1],
        column,
        problem,
        "Write the stamps in UTC, or with their offset.",
    )
    return local - offsets[which, 0] * NANOSECONDS_PER_SECOND


def _offset_seconds(naive: dt.datetime, zone: zoneinfo.ZoneInfo, fold: int) -> int:
    offset = naive.replace(tzinfo=zone, fold=fold).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
