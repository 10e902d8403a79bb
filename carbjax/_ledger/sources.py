"""Backends found in files and folders."""

import os
import pathlib
import re
from collections.abc import Sequence

from carbjax._errors import ConfigError, TraceError
from carbjax._ledger.backends import Backend, ParquetBackend
from carbjax._ledger.partitions import key_of, model_of, readable
from carbjax._ledger.texts import in_turn, text_backend

_MAGIC = b"PAR1"
_SUFFIX = ".parquet"
_NOT_DATA = (".", "_")  # beginnings of names that tools for Parquet data sets pass over


def find_backends(
    sources: Sequence[str | os.PathLike[str]],
    *,
    format: str | None = None,
    tz: str | None = None,
    tenants: str | None = None,
    spread: int | None = None,
    rejects: bool = False,
) -> list[Backend]:
    """The backends of these files and folders, by name.

    Parquet files below `backend=NAME` are that backend's, in the order of their paths
    (numbers in them count as numbers), so `hour=2024-05-01T07` sorts them by time; others
    in a folder are of one backend each folder, and a Parquet file given by itself is one.
    A text trace is one backend, or `spread` of them that its requests go to in turn;
    `format`, `tz` and `tenants` are for text traces (see `read_trace`). The model that a
    backend serves is that of `model=NAME` in its path, or of a constant column `model`.

    Rows that cannot be used are an error; with `rejects` the ledger sets them aside.
    Raises `TraceError`, `ConfigError`.
    """
    paths = [pathlib.Path(source) for source in sources]
    parquet = [path for path in paths if path.is_dir() or _is_parquet(path)]
    texts = [path for path in paths if path not in parquet]
    asked = {"format": format, "tz": tz, "tenants": tenants, "backends": spread}
    for name, value in asked.items():
        if value is not None and not texts:
            raise ConfigError(
                f"`{name}` is for text traces, and all sources are Parquet.",
                hint="Leave it out; folders `backend=NAME` say whose requests they hold.",
            )
    files = [file for path in parquet for file in _files(path)]
    _require_once([*files, *texts])
    found: list[Backend] = []
    for path in texts:
        text = text_backend(path, format, tz, tenants, rejects)
        found += in_turn(text, spread)
    for name, mine in _by_name(paths, files).items():
        model = model_of(name, mine)
        found.append(ParquetBackend.of(name, mine, model, rejects))
    return _checked(found)


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    """The Parquet files at or below a path, in order. Raises `TraceError`."""
    if not path.is_dir():
        return [path]
    found: list[pathlib.Path] = []
    for folder, below, names in os.walk(path, onerror=_refuse_folder):
        below[:] = [name for name in below if not name.startswith(_NOT_DATA)]
        for name in below:
            _require_no_link(pathlib.Path(folder, name))
        kept = [name for name in names if not name.startswith(_NOT_DATA)]
        found += [_require_suffix(pathlib.Path(folder, name)) for name in kept]
    if not found:
        raise TraceError(
            "the folder has no Parquet files.",
            file=path,
            hint="Name text traces one by one: `carbjax ledger A.csv B.csv --out DIR`.",
        )
    return sorted(found, key=_in_order)


def _refuse_folder(cause: OSError) -> None:
    raise TraceError(
        f"cannot be read ({cause.strerror}).", file=cause.filename, hint="Make it readable."
    )


def _require_no_link(folder: pathlib.Path) -> None:
    if folder.is_symlink():
        raise TraceError(
            "is a link to a folder, and those are not followed.",
            file=folder,
            hint="Name the folder itself as a source.",
        )


def _require_suffix(file: pathlib.Path) -> pathlib.Path:
    if file.suffix != _SUFFIX:
        raise TraceError(
            f"stands among Parquet files and does not end in {_SUFFIX}.",
            file=file,
            hint="Move it elsewhere, or begin its name with '_' to have it passed over.",
        )
    return file


def _in_order(file: pathlib.Path) -> list[tuple[bool, int | str]]:
    """A key by which hour=9 comes before hour=10."""
    parts = re.split(r"(\d+)", str(file))
    return [
        (part.isdigit(), int(part) if part.isdigit() else part) for part in parts if part
    ]


def _require_once(files: Sequence[pathlib.Path]) -> None:
    seen: set[pathlib.Path] = set()
    for file in files:
        real = file.resolve()
        if real in seen:
            raise ConfigError(
                "the sources hold this file twice.",
                file=file,
                hint="Its requests would count twice: name it once.",
            )
        seen.add(real)


def _by_name(
    sources: Sequence[pathlib.Path], files: Sequence[pathlib.Path]
) -> dict[str, list[str]]:
    """Files of each backend. Raises `ConfigError` where a name is not one backend's."""
    found: dict[str, list[str]] = {}
    alone = {source for source in sources if not source.is_dir()}
    for file in files:
        name = key_of(file, "backend")
        if name is None:
            name = file.stem if file in alone else _folder_name(file)
            if file in alone and name in found:
                raise _twice(name)
        found.setdefault(readable(name), []).append(str(file))
    return found


def _folder_name(file: pathlib.Path) -> str:
    """The nearest folder that is no `key=value`, and the model where one is named."""
    names = [part for part in file.resolve().parts[:-1] if "=" not in part]
    model = key_of(file, "model")
    return names[-1] if model is None else f"{names[-1]}/{model}"


def _is_parquet(path: pathlib.Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return path.suffix == _SUFFIX  # its reader says what is wrong with it


def _checked(backends: list[Backend]) -> list[Backend]:
    names: set[str] = set()
    for backend in backends:
        if backend.name in names:
            raise _twice(backend.name)
        names.add(backend.name)
    backends = sorted(
        (b for b in backends if b.num_requests), key=lambda backend: backend.name
    )
    if not backends:
        raise TraceError("there are no requests in the sources.", hint="Give some.")
    if len({backend.has_calendar for backend in backends}) > 1:
        raise ConfigError(
            "some backends have time stamps, others seconds from an unknown start.",
            hint="Make a ledger of each kind.",
        )
    return backends


def _twice(name: str) -> ConfigError:
    return ConfigError(
        f"two sources make a backend {name!r}.", hint="Rename one of the files."
    )
