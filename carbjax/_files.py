"""Files that appear whole or not at all."""

import contextlib
import os
import pathlib
import secrets
from collections.abc import Iterator, Sequence

from carbjax._errors import OutputError


def require_writable(path: str | os.PathLike[str], suffixes: Sequence[str]) -> None:
    """Nothing, if a file with one of `suffixes` can be written there; else `OutputError`.

    Called before the work starts, so that none of it is lost to a typing error.
    """
    target = _target(path)
    if target.suffix.lower() not in suffixes:
        raise OutputError(
            f"the name ends in {target.suffix!r}.",
            file=path,
            hint=f"End it in {' or '.join(suffixes)}.",
        )
    if target.is_dir():
        raise OutputError("this is a folder.", file=path, hint="Name a file in it.")
    if not target.parent.is_dir():
        raise OutputError(
            f"there is no folder {str(target.parent)!r}.", file=path, hint="Make it first."
        )
    trial = _temporary(target)
    with naming(path):
        trial.touch()
        trial.unlink()


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """A temporary name in the same folder, renamed to `path` when the block succeeds.

    Raises `OutputError` where the system refuses to write; then, and when the block
    fails, `path` is as it was.
    """
    target = _target(path)
    temporary = _temporary(target)
    with naming(path):
        try:
            yield temporary
            _to_disk(temporary)
            os.replace(temporary, target)
            _to_disk(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within it an `OSError` becomes an `OutputError` that names `path`."""
    try:
        yield
    except OSError as cause:
        raise OutputError(
            f"cannot be written ({_reason(cause)}).",
            file=path,
            hint="Give a place where you may write, with room for it.",
        ) from None


def _to_disk(path: pathlib.Path) -> None:
    """Waits until a file's content, or a folder's names, outlast a stop of the machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _target(path: str | os.PathLike[str]) -> pathlib.Path:
    # A link is written through, not replaced.
    return pathlib.Path(path).resolve()


def _temporary(target: pathlib.Path) -> pathlib.Path:
    return target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")


def _reason(cause: OSError) -> str:
    """What the system says, also where pyarrow has wrapped it."""
    if cause.errno is not None:
        return os.strerror(cause.errno)
    return next(iter(str(cause).splitlines()), type(cause).__name__)
