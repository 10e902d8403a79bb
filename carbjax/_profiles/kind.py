"""Kinds of table that profiles come in, and how one is recognised."""

import dataclasses as dc
from collections.abc import Callable

from carbjax._hardware.model import ModelShape
from carbjax._profiles.profile import Profile
from carbjax._traces.table import Table


@dc.dataclass(frozen=True)
class Context:
    """What a file does not say about itself; None where the caller does not either."""

    model: ModelShape | None = None
    tensor_parallel: int | None = None
    precision: str | None = "bfloat16"  # None: all


@dc.dataclass(frozen=True)
class Kind:
    """One table of a format: the columns it is known by, and its reader."""

    form: str
    name: str
    columns: tuple[str, ...]
    read: Callable[[Table, Context], Profile]

    def __str__(self) -> str:
        return f"{self.form} {self.name}"
