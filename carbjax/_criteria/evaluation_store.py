"""Finished tasks of an evaluation on disk, so that an interrupted one goes on."""

import contextlib
import dataclasses
import json
import math
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

from carbjax._criteria.evaluation_rows import Row
from carbjax._errors import OutputError
from carbjax._files import replacing

FORMAT = 1
_INFINITE = {math.inf: "inf", -math.inf: "-inf"}
_FINITE = {text: number for number, text in _INFINITE.items()}


@dataclasses.dataclass(frozen=True)
class Part:
    """What one task found. Apart from the rows only plain data.

    - `rewards`: of each request, {part, tokens, reward}.
    - `points`: measured costs, {axis, size, seconds, compile_s, peak_bytes}.
    - `examples`: of violated axioms (docs/evaluation.md).
    - `num_evaluations`, `cpu_s`: what an attribution takes (`Effort`), where known.
    - `timed_out_s`: the limit that was met, None where the task came to its end.
    """

    rows: tuple[Row, ...] = ()
    rewards: tuple[dict, ...] = ()
    points: tuple[dict, ...] = ()
    examples: tuple[dict, ...] = ()
    flags: tuple[str, ...] = ()
    num_evaluations: int | None = None
    cpu_s: float | None = None
    timed_out_s: float | None = None
    seconds: float = 0.0
    finished_at: str = ""

    def stamped(self, seconds: float, finished_at: str) -> "Part":
        """The part with how long it took and when it ended."""
        return dataclasses.replace(self, seconds=seconds, finished_at=finished_at)


class Store:
    """Parts by the name of their task; kept in memory alone where `folder` is None.

    A part counts only with the fingerprint of what it depends on.
    """

    def __init__(self, folder: pathlib.Path | None):
        self._folder = folder
        if folder is not None:
            with _naming(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str, fingerprint: str) -> Part | None:
        """The part, or None where it is missing, half written or of something else."""
        if self._folder is None:
            return None
        try:
            content = json.loads(self._path(name, fingerprint).read_text("utf-8"))
            found = {f.name: content[f.name] for f in dataclasses.fields(Part)}
            lists = ("rewards", "points", "examples", "flags")
            plain = {name: tuple(found[name]) for name in lists}
            rows = tuple(Row(**_decoded(row)) for row in found["rows"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Part(**{**found, **plain, "rows": rows})

    def write(self, name: str, fingerprint: str, part: Part) -> None:
        """Nothing; from now on `read` finds the part, also after a crash."""
        if self._folder is None:
            return
        content = dataclasses.asdict(part) | {"rows": [row._asdict() for row in part.rows]}
        write_json(self._path(name, fingerprint), {"task": name, **content})

    def clear(self) -> None:
        """Nothing; all parts are forgotten."""
        if self._folder is not None:
            with _naming(self._folder):
                shutil.rmtree(self._folder)
                self._folder.mkdir()

    def _path(self, name: str, fingerprint: str) -> pathlib.Path:
        assert self._folder is not None
        return self._folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}-{fingerprint}.json"


def write_json(path: pathlib.Path, content: Any) -> None:
    """Nothing; the file appears whole. NaN become null, infinities text."""
    with replacing(path) as temporary:
        text = json.dumps(plain(content), indent=1, allow_nan=False)
        temporary.write_text(text + "\n", "utf-8")


def plain(value: Any) -> Any:
    """The same as JSON has it: NaN become null, infinities text, tuples lists."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _INFINITE.get(value)
    return value


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    numbers = ("value", "lower", "upper")
    return row | {name: _FINITE.get(row[name], row[name]) for name in numbers}


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as cause:
        raise OutputError(
            f"cannot be written ({cause.strerror or cause}).",
            file=path,
            hint="Give a folder where you may write, with room for it.",
        ) from None
