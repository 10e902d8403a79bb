"""Small linear algebra without threads that wait for each other."""

import contextlib
import functools as ft
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController

_FEW_ROWS = 1000


def in_one_thread(num_rows: int) -> AbstractContextManager:
    """Within the block BLAS works in one thread, in the whole process, if rows are few.

    Systems of a few hundred rows are done before a second thread has woken up; on a
    machine with other work, waiting for it took 35 to 49 times as long as the work.
    """
    if num_rows > _FEW_ROWS:
        return contextlib.nullcontext()
    return _controller().limit(limits=1, user_api="blas")


@ft.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
