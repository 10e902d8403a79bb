"""The public data sets that carbjax knows: where from, under what licence, which bytes."""

import dataclasses
import difflib
import importlib.resources
import tomllib
from collections.abc import Mapping
from types import MappingProxyType

from carbjax._errors import FetchError

_RAW = "https://raw.githubusercontent.com"
# Asked for, and not to be had with a checksum.
_UNLISTED = {
    "azure-2024": "its source publishes neither a checksum nor a fixed version",
    "burstgpt-2": "its release names no checksum",
    "burstgpt-3": "its release names no checksum",
}


@dataclasses.dataclass(frozen=True)
class DataFile:
    """One file; `checksum` and `size` (bytes, None where not known) are of its content."""

    path: str  # in the repository
    mirror: str  # in a mirror folder, perhaps packed
    checksum: str  # "sha256:…", or "git:…", the id that git gives the content
    size: int | None = None

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A named set of files of one repository at one commit."""

    name: str
    about: str
    licence: str
    cite: str
    repository: str
    commit: str
    files: tuple[DataFile, ...]
    note: str | None = None

    def url(self, file: DataFile) -> str:
        return f"{_RAW}/{self.repository}/{self.commit}/{file.path}"


def data_set(name: str) -> DataSet:
    """The data set of that name, or `FetchError` with the names there are."""
    if name in DATA_SETS:
        return DATA_SETS[name]
    if name in _UNLISTED:
        raise FetchError(
            f"{name!r} is not fetched: {_UNLISTED[name]}.",
            hint="Download it yourself, and give its path to the reader.",
        )
    near = difflib.get_close_matches(name, DATA_SETS, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    raise FetchError(
        f"there is no data set {name!r}.", hint=f"{guess}Known are {', '.join(DATA_SETS)}."
    )


def _catalogue() -> Mapping[str, DataSet]:
    text = (importlib.resources.files("carbjax._datasets") / "catalogue.toml").read_text(
        "utf-8"
    )
    return MappingProxyType(
        {
            name: DataSet(
                name=name,
                **{**entry, "files": tuple(DataFile(**file) for file in entry["files"])},
            )
            for name, entry in tomllib.loads(text).items()
        }
    )


DATA_SETS = _catalogue()
"""The public data sets by name: files, checksums, licences, sources (docs/fetch.md)."""
