"""Stops a ledger while it is written, as nothing that code could catch."""

import contextlib
import os
from collections.abc import Callable

import numpy as np

REPLACE = os.replace


class Stop(BaseException):
    """What no code catches."""


def stop_at(monkeypatch, number: int, *, after: bool = False) -> None:
    """Makes this renaming the last, before or after it is done."""
    left = number

    def replace(old, new):
        nonlocal left
        left -= 1
        if left > 0 or after:
            REPLACE(old, new)
        if left <= 0:
            raise Stop

    monkeypatch.setattr(os, "replace", replace)


def stopped_often(
    make: Callable[[], object], out, monkeypatch, *, most: int = 9, after: bool = False
) -> int:
    """How often making a ledger in `out` was stopped at a write, until it was made."""
    rng, stops = np.random.default_rng(after), 0
    while not (out / "manifest.json").exists():
        with monkeypatch.context() as patch:
            stop_at(patch, int(rng.integers(1, most)), after=after)
            with contextlib.suppress(Stop):
                make()
        stops += 1
    make()
    return stops
