"""How far long work has come, told to whoever listens."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Report = Callable[[str, int, int], None]
"""Called with (what is counted, how many are done, how many there are)."""

_listener: ContextVar[Report | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def listening(report: Report) -> Iterator[None]:
    """Within the block, `report` is called as long work advances."""
    token = _listener.set(report)
    try:
        yield
    finally:
        _listener.reset(token)


def is_heard() -> bool:
    """Whether somebody listens: waiting for a device only to report is not for free."""
    return _listener.get() is not None


def report(what: str, done: int, total: int) -> None:
    """Tells the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)
