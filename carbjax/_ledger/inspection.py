"""What is wrong with rows that only their neighbours, or the system, can tell."""

import dataclasses as dc
import json

import numpy as np
import pyarrow as pa

from carbjax._errors import InputError, TraceError, WorkloadError
from carbjax._ledger.backends import Backend, place_of
from carbjax._ledger.columns import FAULTS, REQUESTS
from carbjax._ledger.repeats import Repeats

REJECTS = pa.schema(
    [("backend", pa.string()), ("row", pa.int64()), *((f.name, f.type) for f in FAULTS)]
)
"""Columns of a ledger's rejects; `row` is the place in the backend's trace, from 0."""


@dc.dataclass(frozen=True)
class Sorted:
    """Rows of a trace: those that can be used, with their place `row`, and the others."""

    requests: pa.Table  # `REQUESTS` and `row`
    rejects: pa.Table  # `REJECTS`
    last_s: float  # the latest arrival so far

    @property
    def num_rows(self) -> int:
        return self.requests.num_rows + self.rejects.num_rows


@dc.dataclass(frozen=True)
class _Fault:
    column: str | None
    problem: str
    hint: str
    error: type[InputError] = TraceError


@dc.dataclass(frozen=True)
class Inspector:
    """Sorts out the rows of a backend that a server of `most_tokens` cannot serve."""

    backend: Backend
    repeats: Repeats
    most_tokens: int  # of KV cache

    def sort_out(self, rows: pa.Table, first: int, last_s: float) -> Sorted:
        """The rows from place `first` on; `last_s` is the latest arrival before them.

        Raises `TraceError` and `WorkloadError`, unless the backend sets rows aside.
        """
        place = pa.array(np.arange(first, first + rows.num_rows))
        usable = np.ones(rows.num_rows, bool)
        if "problem" in rows.column_names:
            usable = np.asarray(rows["problem"].is_null())
        arrival = np.where(usable, rows["arrival_s"].to_numpy(), -np.inf)
        latest = np.maximum.accumulate(np.append(last_s, arrival))
        found = self._faults(rows, first, usable, arrival < latest[:-1])
        requests = rows.select(REQUESTS.names).append_column("row", place)
        rejects = REJECTS.empty_table()
        if not self.backend.rejects:
            self._require_none(found, first)
        elif found or not usable.all():
            rejects = self._rejects(rows.append_column("row", place), found, usable)
            usable[list(found)] = False
            requests = requests.filter(pa.array(usable))
        return Sorted(requests, rejects, float(latest[-1]))

    def _faults(
        self, rows: pa.Table, first: int, usable: np.ndarray, early: np.ndarray
    ) -> dict[int, _Fault]:
        """What is wrong with rows that are good by themselves, by their index."""
        found: dict[int, _Fault] = {}
        for row, before in self.repeats.among(first, first + rows.num_rows):
            found[row - first] = self._repeated(rows, row - first, before)
        for index in np.flatnonzero(early).tolist():
            found.setdefault(index, _EARLY)
        needs = rows["prompt_tokens"].to_numpy() + rows["decode_tokens"].to_numpy()
        for index in np.flatnonzero(needs > self.most_tokens).tolist():
            found.setdefault(index, self._too_large(rows, index, first, needs[index]))
        return {index: fault for index, fault in found.items() if usable[index]}

    def _repeated(self, rows: pa.Table, index: int, before: int) -> _Fault:
        file, row = place_of(self.backend, before)
        where = f"row {before}" if row is None else f"row {row} of {file}"
        return _Fault(
            "request_id",
            f"{rows['request_id'][index].as_py()!r} is also the request of {where}.",
            "Give each request its own id, leave the column out, or set such rows aside: "
            "`--rejects`, rejects=True in Python.",
        )

    def _too_large(self, rows: pa.Table, index: int, first: int, needs: int) -> _Fault:
        label = rows["request_id"][index].as_py()
        return _Fault(
            None,
            f"request {first + index if label is None else repr(label)} of backend "
            f"{self.backend.name!r} needs {needs} tokens of KV cache, and "
            f"`kv_capacity_tokens` is {self.most_tokens}.",
            "Leave it out, raise the capacity, use more GPUs, or set such rows aside: "
            "`--rejects`, rejects=True in Python.",
            WorkloadError,
        )

    def _require_none(self, found: dict[int, _Fault], first: int) -> None:
        if not found:
            return
        index = min(found)
        fault, (file, row) = found[index], place_of(self.backend, first + index)
        raise fault.error(
            fault.problem, file=file, row=row, column=fault.column, hint=fault.hint
        )

    def _rejects(
        self, rows: pa.Table, found: dict[int, _Fault], usable: np.ndarray
    ) -> pa.Table:
        """What is wrong with each row that cannot be used."""
        name, wanted = self.backend.name, REJECTS.names[1:]
        told = rows.filter(pa.array(~usable)).to_pylist() if not usable.all() else []
        rejects = [{key: row[key] for key in wanted} for row in told]
        for index, fault in found.items():
            record = rows.slice(index, 1).to_pylist()[0]
            file, file_row = place_of(self.backend, record["row"])
            known = {key: record[key] for key in REQUESTS.names}
            rejects.append(
                {
                    "row": record["row"],
                    "file": file,
                    "file_row": file_row,
                    "column": fault.column,
                    "problem": fault.problem,
                    "record": json.dumps(known),
                }
            )
        rejects.sort(key=lambda reject: reject["row"])
        return pa.Table.from_pylist(
            [{"backend": name} | reject for reject in rejects], REJECTS
        )


_EARLY = _Fault(
    "arrival",
    "the request arrived before the one above it.",
    "Sort each backend's requests by arrival; files follow one another in the order of "
    "their paths.",
)
