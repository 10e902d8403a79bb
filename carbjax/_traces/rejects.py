"""Records that cannot be used, set aside with the reason, counted and written down."""

import dataclasses
import json
import os
from collections.abc import Iterable

from carbjax._files import replacing


@dataclasses.dataclass(frozen=True)
class Reject:
    """A record that was left out: where it stood, what is wrong, and all it said."""

    row: int  # as errors count it
    column: str | None
    problem: str
    record: dict[str, str | None]


@dataclasses.dataclass
class Quarantine:
    """Collects what is wrong with the records of one file, in place of the first error.

    Of each record the first fault counts. `lines` never became records: their number of
    values is wrong, or they are not JSON.
    """

    faults: dict[int, tuple[str | None, str]] = dataclasses.field(default_factory=dict)
    lines: list[Reject] = dataclasses.field(default_factory=list)

    def add(self, index: int, column: str | None, problem: str) -> None:
        self.faults.setdefault(index, (column, problem))

    def add_line(self, row: int, problem: str, text: str) -> None:
        self.lines.append(Reject(row, None, problem, {"line": text}))


def write_rejects(
    path: str | os.PathLike[str], file: str, rejects: Iterable[Reject]
) -> None:
    """Nothing; `path` holds a JSON object a line for each reject, whole or not at all.

    Raises `OutputError`.
    """
    with replacing(path) as temporary:
        with open(temporary, "x", encoding="utf-8") as out:
            for reject in rejects:
                out.write(json.dumps({"file": file, **dataclasses.asdict(reject)}) + "\n")
