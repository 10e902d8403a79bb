"""A ledger's folder: what stands in it, how it is begun, cleared, and looked through."""

import collections
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from carbjax._errors import ConfigError, OutputError
from carbjax._files import replacing
from carbjax._ledger.inspection import REJECTS
from carbjax._ledger.rollups import KEYS

REQUESTS_FOLDER = "requests"
REJECTS_FOLDER = "rejects"
_PARTS = (REQUESTS_FOLDER, REJECTS_FOLDER)
TABLES = (*(f"by_{key}" for key in (*KEYS, "model")), "idle")
_MANIFEST = "manifest.json"
_WORK = ".carbjax"
_PLAN = "plan.json"
_LOCK = "lock"
_OURS = ("format", "carbjax")  # keys that no one else's manifest has


def work_folder(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Where an unfinished ledger keeps its plan and checkpoints."""
    return pathlib.Path(folder, _WORK)


def part_name(group: int, slice_number: int) -> str:
    """The file of a group's slice."""
    return f"part-{group:05d}-{slice_number:06d}.parquet"


def read_manifest(folder: pathlib.Path) -> dict[str, Any] | None:
    """What a finished ledger says of itself; None where there is none."""
    return _read_json(folder / _MANIFEST)


def read_plan(folder: pathlib.Path) -> dict[str, Any] | None:
    """The plan of an unfinished ledger; None where there is none."""
    return _read_json(work_folder(folder) / _PLAN)


def write_plan(folder: pathlib.Path, plan: dict[str, Any]) -> None:
    """Nothing; the folder is a ledger from now on."""
    _write_json(work_folder(folder) / _PLAN, plan)
    with _refusing(folder):
        for name in _PARTS:
            (folder / name).mkdir(exist_ok=True)


def finish(folder: pathlib.Path, manifest: dict[str, Any]) -> None:
    """Nothing; the ledger is finished, and what served to make it is gone."""
    _write_json(folder / _MANIFEST, manifest)
    tidy(folder)


def tidy(folder: pathlib.Path) -> None:
    """Removes what an interrupted run left beside a ledger."""
    for place in (folder, *(folder / name for name in _PARTS)):
        for name in (*TABLES, "manifest", "part-"):
            for leftover in place.glob(f".{name}*"):
                leftover.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # there are some
        (folder / REJECTS_FOLDER).rmdir()
    shutil.rmtree(work_folder(folder), ignore_errors=True)


@contextlib.contextmanager
def working_in(folder: pathlib.Path) -> Iterator[None]:
    """While it lasts no other process works there. Raises `OutputError`, `ConfigError`."""
    with _refusing(folder):
        os.fspath(folder).encode()
        folder.mkdir(parents=True, exist_ok=True)
        _require_free(folder)
        work_folder(folder).mkdir(exist_ok=True)
        handle = os.open(work_folder(folder) / _LOCK, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ConfigError(
            "another process is making this ledger.", file=folder, hint="Wait for it."
        ) from None
    try:
        yield
    finally:
        os.close(handle)


def _require_free(folder: pathlib.Path) -> None:
    if _is_ledger(folder) or not any(folder.iterdir()):
        return
    raise ConfigError(
        "the folder holds something else than a ledger.",
        file=folder,
        hint="Give an empty or a new folder.",
    )


def _is_ledger(folder: pathlib.Path) -> bool:
    """Whether a ledger stands there, or one was begun: also where it was just cleared."""
    if work_folder(folder).is_dir():
        return True
    manifest = read_manifest(folder)
    return isinstance(manifest, dict) and all(key in manifest for key in _OURS)


def clear(folder: pathlib.Path) -> None:
    """Nothing of a ledger is left but its work folder, in which the lock stands.

    The manifest goes first: a ledger cleared half way is not taken for a finished one.
    """
    work = work_folder(folder)
    with _refusing(folder):
        (folder / _MANIFEST).unlink(missing_ok=True)
        for name in TABLES:
            (folder / f"{name}.parquet").unlink(missing_ok=True)
        for name in _PARTS:
            if (folder / name).exists():
                shutil.rmtree(folder / name)
        for path in work.iterdir():
            if path.name != _LOCK:
                path.unlink()


def write_table(folder: pathlib.Path, name: str, table: pa.Table) -> None:
    """Nothing; the table stands in the folder."""
    with replacing(folder / f"{name}.parquet") as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(folder: pathlib.Path, name: str) -> pa.Table:
    """A table of a finished ledger, by name."""
    path = folder / name
    files = _parts(path) if name in _PARTS else [path.with_suffix(".parquet")]
    # One by one: what stands in the names of folders above is not taken for columns.
    tables = [pq.ParquetFile(file).read() for file in files]
    nothing = [REJECTS.empty_table()] if name == REJECTS_FOLDER else []
    return pa.concat_tables([*nothing, *tables])


def require_rows(folder: pathlib.Path, *, requests: int, rejects: int) -> None:
    """Raises `OutputError` unless the files of parts hold as many rows."""
    for name, expected in ((REQUESTS_FOLDER, requests), (REJECTS_FOLDER, rejects)):
        found = 0
        for path in _parts(folder / name):
            try:
                found += pq.read_metadata(path).num_rows
            except (pa.ArrowException, OSError):
                raise _changed(path, "is damaged") from None
        if found != expected:
            problem = f"holds {found} rows, and {expected} were written"
            raise _changed(folder / name, problem)


def count_rejects(folder: pathlib.Path) -> dict[str, int]:
    """How many rows were rejected for which column; `""` for the row as a whole."""
    counts: collections.Counter[str] = collections.Counter()
    for path in _parts(folder / REJECTS_FOLDER):
        column = pq.ParquetFile(path).read(["column"])["column"]
        counts.update(name or "" for name in column.to_pylist())
    return dict(sorted(counts.items()))


def first_reject(folder: pathlib.Path) -> dict[str, Any]:
    """The first row that was rejected."""
    first = pq.ParquetFile(_parts(folder / REJECTS_FOLDER)[0])
    return next(first.iter_batches(1)).to_pylist()[0]


def _parts(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("part-*.parquet"))


def _changed(path: pathlib.Path, problem: str) -> OutputError:
    return OutputError(f"{problem}.", file=path, hint="Make the ledger anew: --fresh.")


@contextlib.contextmanager
def _refusing(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as cause:  # Arrow wants names in UTF-8
        reason = cause.strerror if isinstance(cause, OSError) else "no UTF-8"
        raise OutputError(
            f"cannot be made or cleared ({reason}).",
            file=folder,
            hint="Give a place where you may write.",
        ) from None


def _read_json(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        raise OutputError(
            "is damaged or cannot be read.", file=path, hint="Give another folder."
        ) from None


def _write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
