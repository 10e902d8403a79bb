"""Whether anybody looks at standard errors, which can cost more than the shares."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_wanted: ContextVar[bool] = ContextVar("wanted", default=True)


@contextlib.contextmanager
def shares_alone() -> Iterator[None]:
    """Within the block an estimator may leave standard errors NaN, for unknown."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def errors_are_wanted() -> bool:
    return _wanted.get()
