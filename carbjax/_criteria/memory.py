"""How much more memory a piece of work takes while it runs."""

import os
import pathlib
import threading
import types

import jax

_SAMPLING_S = 2e-3
_STATM = pathlib.Path("/proc/self/statm")
_ROOM = 4 * 2**30  # bytes


class Programs:
    """Compiled programs of this process, which JAX keeps in memory until it is told not to.

    Judging compiles for hundreds of sizes, of which most are not asked for again.
    """

    def __init__(self):
        self._before = resident_bytes() or 0

    def forget_if_many(self) -> None:
        """Nothing; all are dropped once memory has grown by 4 GiB since they last were."""
        now = resident_bytes()
        if now is not None and now - self._before > _ROOM:
            jax.clear_caches()
            self._before = resident_bytes() or now


class PeakMemory:
    """Within the block, the largest growth of memory; `bytes` afterwards.

    On an accelerator what its allocator says. On the CPU XLA's buffers are in the
    process's resident memory, which is looked at every 2 ms: what is allocated and freed
    faster, or taken from memory that the process kept from before, is not seen, so it is
    a lower bound. None where neither is known.
    """

    bytes: int | None = None

    def __enter__(self) -> "PeakMemory":
        self._before = _in_use()
        self._highest = self._before
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._look()
        self._done.set()
        self._watch.join()
        if self._before is not None and self._highest is not None:
            self.bytes = self._highest - self._before

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLING_S):
            self._look()

    def _look(self) -> None:
        now = _in_use()
        if now is not None and self._highest is not None:
            self._highest = max(self._highest, now)


def _in_use() -> int | None:
    """Bytes in use by the accelerator's allocator, or by the process."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_in_use" in stats:
        return int(stats["bytes_in_use"])
    return resident_bytes()


def resident_bytes() -> int | None:
    """Memory of this process, None where the system does not tell."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
