"""Columns of a file on their way into a profile, with bad rows refused or counted."""

import dataclasses as dc
import pathlib
from collections import Counter
from typing import Any

import numpy as np
from jaxtyping import Bool

from carbjax._errors import ProfileError
from carbjax._profiles.plausible import implausible
from carbjax._profiles.profile import Floats, Names, Profile
from carbjax._profiles.repeats import average_repeats
from carbjax._profiles.units import TimeUnit
from carbjax._traces.source import open_source
from carbjax._traces.table import Table, listed, read_table
from carbjax._traces.values import labels, numbers, numbers_or_nan

NO_LATENCY = "no latency was measured"
ZERO_LATENCY = "a latency of zero, below the resolution of the clock"
POWER_ABOVE_LIMIT = "power readings more than 5% above the limit"
NO_POWER = "power readings that are not positive"
_OVERSHOOT = 1.05


def open_table(path) -> Table:
    """The columns of a file, or `ProfileError`."""
    return read_table(open_source(path, ProfileError))


def require_columns(table: Table, names, form: str) -> None:
    """Nothing, or the error that names every column that is missing."""
    missing = [name for name in names if name not in table.columns]
    if not missing:
        return
    hint = f"The file has {listed(table.columns)}. Give a table of {form}."
    if len(missing) == 1:
        raise table.error(
            "this column is missing.", file=table.file, column=missing[0], hint=hint
        )
    raise table.fail(f"the columns {', '.join(map(repr, missing))} are missing.", hint=hint)


def sizes(table: Table, column: str) -> Floats:
    """Finite numbers from 0, or the error that names row and column."""
    values = numbers(table, column)
    _refuse_negative(table, column, values)
    return values


def measurements(table: Table, column: str) -> Floats:
    """Numbers from 0, NaN where there is none, or the error that names row and column."""
    values = numbers_or_nan(table, column)
    _refuse_negative(table, column, values)
    return values


def names(table: Table, column: str) -> Names:
    return np.array(labels(table, column), dtype=str)


def source_of(table: Table, form: str) -> str:
    """Format, folder and file: enough to find the measurement again."""
    return f"{form} {'/'.join(pathlib.PurePath(table.file).parts[-2:])}"


@dc.dataclass(frozen=True)
class Gathered:
    """Rows of a table to become a profile: `keep` are candidates, `reasons` the rest."""

    table: Table
    form: str
    keep: Bool[np.ndarray, " records"]
    reasons: Counter[str] = dc.field(default_factory=Counter)

    def only(self, rows: Bool[np.ndarray, " records"]) -> "Gathered":
        """The candidates among `rows`; the others are another reader's, not counted."""
        return dc.replace(self, keep=self.keep & rows)

    def without(self, rows: Bool[np.ndarray, " records"], reason: str) -> "Gathered":
        """The candidates that are not among `rows`; those are counted."""
        lost = int((self.keep & rows).sum())
        reasons = self.reasons + Counter({reason: lost} if lost else {})
        return dc.replace(self, keep=self.keep & ~rows, reasons=reasons)

    def profile(
        self, operator: str | Names, latency: str, unit: TimeUnit, **columns: Any
    ) -> Profile:
        """The candidates as calls; `columns` are of all records of the table.

        Rows without latency, or with one of zero or one that their work excludes, are
        counted and left out; repeats are averaged. Raises `ProfileError` for a negative
        latency or a wrong unit.
        """
        measured = measurements(self.table, latency)
        some = self.without(~np.isfinite(measured), NO_LATENCY)
        some = some.without(measured == 0, ZERO_LATENCY)
        columns, dropped = _without_bad_power(columns, some.keep)
        columns = {"source": source_of(self.table, self.form)} | columns
        rows = np.flatnonzero(some.keep)
        operator = operator if isinstance(operator, str) else operator[rows]
        profile = Profile.of(
            operator,
            measured[rows] * unit.seconds,
            quarantined=some.reasons + dropped,
            **{name: _at(value, rows) for name, value in columns.items()},
        )
        wrong = implausible(profile, self.table, rows, latency, unit)
        counts = {reason: int(off.sum()) for reason, off in wrong.items() if off.any()}
        fine = ~np.logical_or.reduce(list(wrong.values()))
        return average_repeats(profile.select(fine).leaving_out(counts))


def gathered(table: Table, form: str) -> Gathered:
    """All records of a table as candidates."""
    return Gathered(table, form, np.ones(table.num_rows, dtype=bool))


def _at(value, rows: np.ndarray):
    return value[rows] if np.ndim(value) else value


def _without_bad_power(columns: dict, keep: np.ndarray) -> tuple[dict, Counter[str]]:
    power = columns.get("power_w")
    if power is None:
        return columns, Counter()
    limit = columns.get("power_limit_w", np.full(len(power), np.nan))
    above = keep & (power > _OVERSHOOT * limit)
    nothing = keep & (power <= 0)
    bad = above | nothing
    counts = {POWER_ABOVE_LIMIT: int(above.sum()), NO_POWER: int(nothing.sum())}
    clean = {
        "power_w": np.where(bad, np.nan, power),
        "power_weight": np.where(bad | np.isnan(power), 0.0, columns["power_weight"]),
    }
    return columns | clean, Counter({reason: n for reason, n in counts.items() if n})


def _refuse_negative(table: Table, column: str, values: Floats) -> None:
    bad = np.flatnonzero((values < 0) | np.isinf(values))
    if len(bad):
        record = int(bad[0])
        problem = "negative" if values[record] < 0 else "not finite"
        raise table.fail(
            f"{table.shown(column, record)} is {problem}.",
            record,
            column,
            hint="Measure it again, or leave the row out.",
        )
