"""A backend's requests, a slice at a time."""

import pyarrow as pa

from carbjax._errors import TraceError
from carbjax._ledger.backends import Backend
from carbjax._ledger.columns import REQUESTS
from carbjax._ledger.inspection import Inspector, Sorted


class Feed:
    """Takes the rows of a backend's trace in order; `ended` once there are no more."""

    def __init__(self, inspector: Inspector, skip: int, size: int, last_s: float):
        self._inspector = inspector
        self._batches = self._backend.batches(skip, size)
        self._here = REQUESTS.empty_table()
        self._place, self._last_s = skip, last_s

    @property
    def _backend(self) -> Backend:
        return self._inspector.backend

    @property
    def _left(self) -> int:
        return self._backend.num_requests - self._place

    @property
    def ended(self) -> bool:
        return self._left == 0

    def take(self, count: int) -> Sorted:
        """The next `count` rows, fewer where it ends. Raises `InputError`."""
        rows = self._rows(min(count, self._left))
        found = self._inspector.sort_out(rows, self._place, self._last_s)
        self._place += rows.num_rows
        self._last_s = found.last_s
        return found

    def _rows(self, count: int) -> pa.Table:
        parts, missing = [REQUESTS.empty_table()], count
        while missing:
            if self._here.num_rows == 0:
                self._here = self._next()
            part = self._here.slice(0, missing)
            self._here = self._here.slice(part.num_rows)
            parts.append(part)
            missing -= part.num_rows
        return pa.concat_tables(parts, promote_options="default")

    def _next(self) -> pa.Table:
        found = next(self._batches, None)
        if found is None:
            inputs = self._backend.inputs
            raise TraceError(
                f"backend {self._backend.name!r} has fewer requests than when the ledger "
                "was begun.",
                file=inputs[0] if len(inputs) == 1 else None,
                hint="Restore its files, or make the ledger anew: --fresh.",
            )
        return found


def first_arrival_s(inspector: Inspector, size: int) -> float:
    """The first arrival of a request that can be used, s; infinity where there is none."""
    feed = Feed(inspector, 0, size, -float("inf"))
    while not feed.ended:
        found = feed.take(size).requests
        if found.num_rows:
            return found["arrival_s"][0].as_py()
    return float("inf")
