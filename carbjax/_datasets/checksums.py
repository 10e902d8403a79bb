"""Whether bytes are those that they should be."""

import gzip
import hashlib
import pathlib
import zlib
from collections.abc import Iterator

from carbjax._datasets.catalogue import DataFile
from carbjax._errors import FetchError

_PART = 2**20


def require_content(path: pathlib.Path, file: DataFile, hint: str) -> None:
    """Nothing, if the file, unpacked where it ends in .gz, is as listed; else raises."""
    try:
        size = sum(len(part) for part in _parts(path))
        found = _digest(path, file.checksum.partition(":")[0], size)
    except (OSError, EOFError, zlib.error) as cause:
        raise FetchError(f"it cannot be read ({cause}).", file=path, hint=hint) from None
    if file.size is not None and size != file.size:
        problem = f"it has {size:,} bytes, and {file.name} {file.size:,}."
    elif found != file.checksum:
        problem = f"its checksum is {found}, and that of {file.name} {file.checksum}."
    else:
        return
    raise FetchError(problem, file=path, hint=hint)


def _digest(path: pathlib.Path, kind: str, size: int) -> str:
    if kind == "git":
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    else:
        digest = hashlib.sha256()
    for part in _parts(path):
        digest.update(part)
    return f"{kind}:{digest.hexdigest()}"


def _parts(path: pathlib.Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as content:
        while part := content.read(_PART):
            yield part
