"""Columns of a data file, with the place of each value kept."""

import dataclasses
import difflib
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from carbjax._errors import InputError
from carbjax._traces.rejects import Quarantine, Reject

_LISTED = 20


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of equal length; text files yield strings, Parquet its own types.

    With a `quarantine`, `refuse` sets bad records aside; else the first is an error.
    """

    file: str
    columns: dict[str, pa.Array]
    num_rows: int
    row_of: Callable[[int], int]  # index of a record -> line of the file, from 1
    header_row: int | None  # line that names the columns
    error: type[InputError]
    quarantine: Quarantine | None = None
    notes: tuple[str, ...] = ()  # what its reader noticed

    def fail(
        self,
        problem: str,
        index: int | None = None,
        column: str | None = None,
        hint: str | None = None,
    ) -> InputError:
        """The error that names the file, the row of record `index` and the column."""
        row = None if index is None else self.row_of(index)
        return self.error(problem, file=self.file, row=row, column=column, hint=hint)

    def refuse(
        self,
        bad: Bool[np.ndarray, " rows"],
        column: str | None,
        problem: Callable[[int], str],
        hint: str | None = None,
    ) -> None:
        """Nothing, unless records are bad: the first is an error, or all are set aside."""
        found = np.flatnonzero(bad)
        if len(found) == 0:
            return
        if self.quarantine is None:
            index = int(found[0])
            raise self.fail(problem(index), index, column, hint)
        for index in found.tolist():
            self.quarantine.add(index, column, problem(index))

    def select(self, kept: Bool[np.ndarray, " rows"]) -> "Table":
        """The kept records alone, without a quarantine: what is wrong now is an error."""
        place = np.flatnonzero(kept)
        taken = pa.array(place)
        return dataclasses.replace(
            self,
            columns={name: values.take(taken) for name, values in self.columns.items()},
            num_rows=len(place),
            row_of=lambda index: self.row_of(int(place[index])),
            quarantine=None,
        )

    def rejects(self) -> list[Reject]:
        """What was set aside, in the order of the file."""
        if self.quarantine is None:
            return []
        found = [
            Reject(self.row_of(index), *fault, self._record(index))
            for index, fault in self.quarantine.faults.items()
        ]
        return sorted([*found, *self.quarantine.lines], key=lambda reject: reject.row)

    def _record(self, index: int) -> dict[str, str | None]:
        values = {name: column[index].as_py() for name, column in self.columns.items()}
        return {name: None if v is None else str(v) for name, v in values.items()}

    def shown(self, column: str, index: int) -> str:
        """The value as text, for an error about it."""
        value = self.columns[column].slice(index, 1)
        if pa.types.is_dictionary(value.type):
            value = value.dictionary_decode()
        return value.cast(pa.string())[0].as_py().strip()

    def require(
        self, names: Iterable[str], optional: Iterable[str] = (), others: bool = False
    ) -> None:
        """Nothing, if the columns are `names` and some of `optional`; else raises.

        With `others`, columns may be there of which nothing is known.
        """
        names, optional = tuple(names), tuple(optional)
        surplus = [c for c in self.columns if c not in names and c not in optional]
        for name in names:
            if name not in self.columns:
                raise self.missing(name, surplus)
        if surplus and not others:
            unused = [c for c in optional if c not in self.columns]
            near = _near(surplus[0], unused)
            raise self.error(
                "this column is not known.",
                file=self.file,
                row=self.header_row,
                column=surplus[0],
                hint=f"Is it {near!r}?"
                if near
                else f"Known are {listed(dict.fromkeys([*names, *optional]))}.",
            )

    def missing(self, name: str, unused: Iterable[str]) -> InputError:
        """The error that column `name` is missing; one of `unused` may be it, misspelt."""
        near = _near(name, unused)
        return self.error(
            "this column is missing.",
            file=self.file,
            row=self.header_row,
            column=name,
            hint=f"Is it {near!r}?" if near else f"The file has {listed(self.columns)}.",
        )


def listed(names: Iterable[str]) -> str:
    """Names for a message, the first of them where there are many."""
    names = list(names)
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _near(name: str, names: Iterable[str]) -> str | None:
    lower = {candidate.lower(): candidate for candidate in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    return lower[near[0]] if near else None
