"""A thread that watches a GPU's meter while loads run."""

import threading
from types import TracebackType

from carbjax._profiler.gpu import AbstractGpu, Reading


class Meter:
    """Readings of a GPU, taken every `interval` s within a `with` block."""

    def __init__(self, gpu: AbstractGpu, interval: float):
        self._gpu = gpu
        self._interval = interval
        self._readings: list[Reading] = []
        self._done = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="meter", daemon=True)

    def __enter__(self) -> "Meter":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def between(self, start: float, end: float) -> list[Reading]:
        """The readings of a window, which are then forgotten with all before them.

        Raises what the meter raised, if it failed.
        """
        if self._failure is not None:
            raise self._failure
        known, self._readings = self._readings, []
        return [reading for reading in known if start <= reading.time_s <= end]

    def _watch(self) -> None:
        while not self._done.wait(self._interval):
            try:
                self._readings.append(self._gpu.read())
            except Exception as failure:  # told to the thread that waits for readings
                self._failure = failure
                return
