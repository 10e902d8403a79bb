"""Carbon intensity series from files: Electricity Maps exports and plain columns."""

import os
import re
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from carbjax._carbon.gaps import MISSING, Gaps, fill_gaps, find_gaps
from carbjax._carbon.intensity import KINDS, MAX_INTENSITY, Intensity
from carbjax._errors import InputError, IntensityError
from carbjax._traces.source import open_source
from carbjax._traces.stamps import NANOSECONDS_PER_SECOND, instants, time_zone
from carbjax._traces.table import Table, listed, read_table
from carbjax._traces.values import matches, numbers, numbers_or_nan

# The subscript of CO2 is lost or mangled in many a copy: do not ask for it.
_EXPORT = re.compile(r"carbon intensity g.*/kwh \((direct|lca|life cycle)\)", re.IGNORECASE)
_KIND_OF = {"direct": "direct", "lca": "lca", "life cycle": "lca"}
# What says that values are not average grams for each kilowatt hour.
_OTHER_UNITS = re.compile(
    r"(?<![a-z])(?P<unit>(lbs?|pounds?|kg|kilograms?|t|tons?|tonnes?)[ _]*(co2\S*)?"
    r"[ _]*(/|_per_|per)[ _]*[kmg]?wh)(?![a-z])",
    re.IGNORECASE,
)
_MARGINAL = re.compile(r"(?<![a-z])(marginal|moer)", re.IGNORECASE)
_GRAMS = re.compile(r"(?<![a-z])g(rams?)?[ _]*(co\S*)?[ _]*(/|_per_|per)", re.IGNORECASE)
_MOST_KILOGRAMS = 1.5  # kg/kWh: the dirtiest grids; in g/kWh below the cleanest
_UTC_NAME = re.compile(r"(\(|_|\b)utc\)?$", re.IGNORECASE)


def read_intensity(
    path: str | os.PathLike[str],
    kind: str = "lca",
    *,
    column: str | None = None,
    tz: str | None = None,
    missing: str = "error",
) -> Intensity:
    """The carbon intensity of a file, in gCO2e/kWh, each value until the next stamp.

    **Arguments:**

    - `path`: CSV, plain or gz: an Electricity Maps export (either generation of headers),
      or a column of time stamps followed by one of gCO2e/kWh.
    - `kind`: `"lca"` (life cycle) or `"direct"`. It chooses the column of an export; of a
      plain series it is what you say it is.
    - `column`: the column of values, where there are several.
    - `tz`: the IANA zone of stamps that carry none and whose column does not say UTC.
    - `missing`: `"error"`; or fill missing steps from the `"nearest"` one or
      `"interpolate"` between their neighbours, and say so in `flags`.

    The last value holds for one step. Marginal intensities, and other units than grams as
    far as header or values tell them, are refused. Raises `IntensityError`, which names
    file, row and column.
    """
    _one_of("kind", kind, KINDS)
    _one_of("missing", missing, MISSING)
    zone = time_zone(tz, IntensityError)
    table = _table(path)
    chosen = _value_column(table, kind, column)
    _require_average_grams(table, chosen)
    stamps_s = _stamps(table, zone, chosen)
    values = _values(table, chosen, missing)
    known = np.isfinite(values)
    gaps = find_gaps(stamps_s[known])
    if gaps.count and missing == "error":
        raise _gap_error(table, stamps_s, gaps)
    _require_grams(table, chosen, values)
    edges_s, filled = fill_gaps(stamps_s[known], values[known], gaps, missing)
    return Intensity(
        edges_s,
        filled,
        name=_zone_name(table, chosen),
        kind=kind,
        source=table.file,
        flags=(*_estimated(table), *gaps.flags(missing)),
    )


def _table(path: str | os.PathLike[str]) -> Table:
    table = read_table(open_source(path, IntensityError))
    if table.num_rows < 2:
        raise table.fail(
            f"the series has {table.num_rows} rows.",
            hint="Give at least two, so that the step is known, or a constant.",
        )
    return table


def _one_of(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise IntensityError(
            f"`{argument}` is {value!r}.", hint=f"Choose one of {', '.join(choices)}."
        )


def _value_column(table: Table, kind: str, column: str | None) -> str:
    stamp, *others = table.columns
    if column is not None:
        if column not in others:
            raise table.missing(column, others)
        return column
    exported = {}
    for name in others:
        match = _EXPORT.fullmatch(name)
        if match:
            exported[_KIND_OF[match[1].lower()]] = name
    if kind in exported:
        return exported[kind]
    if len(others) == 1 and not exported:
        return others[0]
    raise table.fail(
        f"it is not clear which column holds the {kind} intensity in gCO2e/kWh.",
        hint="Name it with `--intensity-column`, or column= in Python; the file has "
        + listed(others)
        + ".",
    )


def _require_average_grams(table: Table, column: str) -> None:
    """Raises where the header, or a column of kinds, says that values are others."""
    unit = _OTHER_UNITS.search(column)
    if unit is not None:
        raise table.error(
            f"the column holds {unit['unit']}, not gCO2e/kWh.",
            file=table.file,
            row=table.header_row,
            column=column,
            hint="Convert it: 1 lb/MWh is 0.4536 g/kWh, 1 kg/kWh is 1000 g/kWh.",
        )
    hint = "Attribution takes average intensities; do not mix the two."
    if _MARGINAL.search(column):
        raise table.error(
            "the column holds marginal intensities.",
            file=table.file,
            row=table.header_row,
            column=column,
            hint=hint,
        )
    for name, values in table.columns.items():
        if name != column and pa.types.is_string(values.type):
            marginal = matches(values, "(?i)^(marginal|moer)")
            for index in np.flatnonzero(marginal)[:1].tolist():
                raise table.fail("the intensity is a marginal one.", index, name, hint)


def _require_grams(table: Table, column: str, values: np.ndarray) -> None:
    most = np.nanmax(values)
    if 0 < most <= _MOST_KILOGRAMS and not _GRAMS.search(column):
        raise table.fail(
            f"no intensity is above {most:g}: are these kg/kWh?",
            column=column,
            hint="Give gCO2e/kWh: multiply by 1000. If they are, say so in the name of "
            "the column, such as g_per_kwh.",
        )


def _stamps(table: Table, zone: ZoneInfo | None, column: str) -> np.ndarray:
    stamp = next(iter(table.columns))
    says_utc = _UTC_NAME.search(stamp) is not None
    utc = instants(table, stamp, ZoneInfo("UTC") if says_utc else zone, "--intensity-tz")
    steps = np.diff(utc)
    bad = np.flatnonzero(steps <= 0)
    if len(bad):
        index = int(bad[0]) + 1
        shown = table.shown(stamp, index)
        if steps[bad[0]] < 0:
            problem = f"the time {shown} is before the row above."
            hint = "Sort the rows by time. Do two series overlap?"
        else:
            problem = f"the time {shown} is that of the row above"
            here, above = (_text(table, column, i) for i in (index, index - 1))
            problem += "." if here == above else f", with {here} for {above}."
            hint = "Keep one of them. Is more than one zone in the file?"
        raise table.fail(problem, index, stamp, hint=hint)
    return utc / NANOSECONDS_PER_SECOND


def _text(table: Table, column: str, index: int) -> str:
    return str(table.columns[column][index].as_py())


def _values(table: Table, column: str, missing: str) -> np.ndarray:
    if missing == "error":
        values = numbers(table, column)
    else:
        values = numbers_or_nan(table, column)
    for bad, what in ((values < 0, "negative"), (values > MAX_INTENSITY, "out of reach")):
        if bad.any():
            index = int(np.flatnonzero(bad)[0])
            raise table.fail(
                f"the intensity {values[index]:g} is {what}.",
                index,
                column,
                hint=f"Give gCO2e/kWh, 0 to {MAX_INTENSITY:g}.",
            )
    if np.isfinite(values).sum() < 2:
        raise table.fail("fewer than two rows hold a value.", column=column)
    return values


def _gap_error(table: Table, stamps_s: np.ndarray, gaps: Gaps) -> InputError:
    after = int(np.searchsorted(stamps_s, gaps.until_s[0]))
    return table.fail(
        f"the series is missing from {gaps.first_missing} to {gaps.first_until}"
        + (f", and in {gaps.count - 1} other places" if gaps.count > 1 else "")
        + ".",
        after,
        hint="Choose how to fill it: `--intensity-missing nearest` or `interpolate`, "
        'missing="nearest" or "interpolate" in Python.',
    )


def _zone_name(table: Table, column: str) -> str:
    by_name = {name.lower(): name for name in table.columns}
    if _EXPORT.fullmatch(column) and "zone id" in by_name:
        return table.shown(by_name["zone id"], 0)
    return column


def _estimated(table: Table) -> list[str]:
    for name, values in table.columns.items():
        if name.lower() == "data estimated":
            count = sum(str(value).lower() == "true" for value in values.to_pylist())
            if count:
                return [f"{count} of {table.num_rows} steps are estimated by the source"]
    return []
