"""An end to work that takes too long."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class TimeLimit(BaseException):
    """The time is up. No `Exception`, so that nobody takes it for an error of theirs."""


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Within the block, `TimeLimit` is raised once that many seconds have passed.

    It comes between two steps of Python: a compiled program runs to its end first. Only
    the main thread of a system with alarms can be stopped; elsewhere there is no limit.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if seconds is None or not in_main or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number, frame):
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
