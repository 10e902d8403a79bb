"""Public data sets by name: from a mirror folder, the cache, or their source."""

import dataclasses
import os
import pathlib

import platformdirs

from carbjax._datasets.catalogue import DataFile, DataSet, data_set
from carbjax._datasets.checksums import require_content
from carbjax._datasets.download import download
from carbjax._errors import FetchError

MIRROR = "CARBJAX_DATA"


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A data set that lies on this machine, each file checked."""

    data_set: DataSet
    paths: dict[str, pathlib.Path]  # by the name of the file at its source
    origin: str  # "mirror", "cache" or "source": the farthest that was needed

    @property
    def path(self) -> pathlib.Path:
        """The file, if there is one; else the folder of all."""
        paths = list(self.paths.values())
        return paths[0] if len(paths) == 1 else paths[0].parent


def fetch(
    name: str,
    *,
    offline: bool = False,
    mirror: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Fetched:
    """The files of a public data set, each with the checksum that carbjax lists for it.

    **Arguments:**

    - `name`: one of `DATA_SETS`; `carbjax fetch` lists them with their licences.
    - `offline`: an error where a file is neither in the mirror nor in the cache.
    - `mirror`: a folder with copies of the files, plain or gz; by default that of the
      environment variable `CARBJAX_DATA`. A set that it lacks comes from elsewhere.
    - `cache`: where downloads are kept; by default in the user's cache folder.

    A set comes whole from the mirror, or from cache and source. Raises `FetchError`: a
    name that is not known, a file that is not what it should be, a network that fails;
    `OutputError` where the cache cannot be written.
    """
    wanted = data_set(name)
    folder = os.environ.get(MIRROR) if mirror is None else mirror
    found = {} if not folder else _in_mirror(wanted, pathlib.Path(folder))
    if len(found) == len(wanted.files):
        return Fetched(wanted, found, "mirror")
    return _in_cache(wanted, data_folder(cache) / wanted.name, offline)


def data_folder(cache: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """Where downloads are kept."""
    if cache is not None:
        return pathlib.Path(cache)
    return platformdirs.user_cache_path("carbjax") / "data"


def _in_mirror(wanted: DataSet, mirror: pathlib.Path) -> dict[str, pathlib.Path]:
    """Those files that the mirror has."""
    found = {}
    for file in wanted.files:
        for path in _spellings(mirror / file.mirror):
            if path.is_file():
                require_content(path, file, "Replace the copy in the mirror.")
                found[file.name] = path
                break
    return found


def _spellings(path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    return plain.with_name(plain.name + ".gz"), plain


def _in_cache(wanted: DataSet, folder: pathlib.Path, offline: bool) -> Fetched:
    paths = {file.name: folder / file.name for file in wanted.files}
    missing = [file for file in wanted.files if not paths[file.name].is_file()]
    if missing and offline:
        raise _offline(wanted, missing[0], folder)
    for file in wanted.files:
        if file in missing:
            download(wanted.url(file), file, paths[file.name])
        else:
            require_content(paths[file.name], file, "Delete it, and fetch the set again.")
    return Fetched(wanted, paths, "source" if missing else "cache")


def _offline(wanted: DataSet, file: DataFile, folder: pathlib.Path) -> FetchError:
    return FetchError(
        f"{file.name} of {wanted.name!r} is neither in a mirror folder nor in the cache.",
        file=folder / file.name,
        hint=f"Fetch it without --offline, or set {MIRROR} to a folder with {file.mirror}.",
    )
