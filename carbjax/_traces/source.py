"""Bytes of a data file, unpacked and known to be what they claim."""

import dataclasses
import gzip
import os
import pathlib
import zlib

from carbjax._errors import InputError

_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_LFS = b"version https://git-lfs.github.com/"
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}


@dataclasses.dataclass(frozen=True)
class Source:
    """An opened file; `error` is what its readers raise."""

    file: str
    data: bytes
    error: type[InputError]

    def fail(self, problem: str, row: int | None = None, hint: str | None = None):
        return self.error(problem, file=self.file, row=row, hint=hint)

    @property
    def is_parquet(self) -> bool:
        return self.data.startswith(_PARQUET)

    @property
    def is_json(self) -> bool:
        return self.data[:64].lstrip()[:1] in (b"{", b"[")


def open_source(path: str | os.PathLike[str], error: type[InputError]) -> Source:
    """The content of a file: gz unpacked, text proved to be UTF-8, byte mark removed.

    Raises `error` for a file that is missing, not readable, empty, damaged, or a page or
    pointer that was stored in place of the data.
    """
    source = Source(str(path), _bytes(path, error), error)
    if source.data.startswith(_GZIP):
        source = dataclasses.replace(source, data=_unpacked(source))
    elif source.file.endswith(".gz"):
        raise source.fail(
            "the name ends in .gz, the content is not gzip.", hint="Rename or pack it."
        )
    if not source.data.strip():
        raise source.fail("the file is empty.", hint="Give a file with a header and rows.")
    _refuse_impostors(source)
    return source if source.is_parquet else _text(source)


def _bytes(path: str | os.PathLike[str], error: type[InputError]) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        problem, hint = "there is no such file.", "Check the path."
    except IsADirectoryError:
        problem, hint = "this is a directory.", "Give one file."
    except PermissionError:
        problem, hint = "permission to read it is denied.", "Change its mode or its owner."
    except (OSError, ValueError) as cause:
        problem, hint = f"it cannot be read ({cause}).", "Check the path and the disk."
    raise error(problem, file=path, hint=hint)


def _unpacked(source: Source) -> bytes:
    try:
        return gzip.decompress(source.data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise source.fail(
            f"the gzip content is damaged or cut short ({cause}).", hint="Fetch it again."
        ) from None


def _refuse_impostors(source: Source) -> None:
    head = source.data[:512].lstrip().lower()
    if head.startswith(_LFS):
        raise source.fail(
            "this is a Git LFS pointer, not the data.", hint="Run `git lfs pull`."
        )
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise source.fail(
            "this is a web page, not the data.", hint="Fetch the raw file instead."
        )
    for magic, kind in _ARCHIVES.items():
        if source.data.startswith(magic):
            raise source.fail(
                f"this is compressed as {kind}.", hint="Unpack it, or pack it with gzip."
            )


def _text(source: Source) -> Source:
    data = source.data.removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise source.fail(
            f"byte {data[cause.start]:#04x} is not valid UTF-8.",
            row=data.count(b"\n", 0, cause.start) + 1,
            hint="Convert the file to UTF-8.",
        ) from None
    return dataclasses.replace(source, data=data)
