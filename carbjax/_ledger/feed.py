"""A backend's requests, a slice at a time."""

import pyarrow as pa

from carbjax._errors import TraceError
from carbjax._ledger.backends import Backend
from carbjax._ledger.columns import REQUESTS


class Feed:
    """Takes a backend's requests in order; `ended` once there are no more."""

    def __init__(self, backend: Backend, skip: int, size: int):
        self._backend = backend
        self._batches = backend.batches(skip, size)
        self._here = REQUESTS.empty_table()
        self._left = backend.num_requests - skip

    @property
    def ended(self) -> bool:
        return self._left == 0

    def take(self, count: int) -> pa.Table:
        """The next `count` requests, fewer where it ends. Raises `TraceError`."""
        count = min(count, self._left)
        parts, missing = [], count
        while missing:
            if self._here.num_rows == 0:
                self._here = self._next()
            part = self._here.slice(0, missing)
            self._here = self._here.slice(part.num_rows)
            parts.append(part)
            missing -= part.num_rows
        self._left -= count
        return pa.concat_tables(parts) if parts else REQUESTS.empty_table()

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
