"""A file from the network, whole and checked, or not at all."""

import http.client
import pathlib
import time
import urllib.error
import urllib.request

from carbjax._datasets.catalogue import DataFile
from carbjax._datasets.checksums import require_content
from carbjax._errors import FetchError
from carbjax._files import naming, replacing
from carbjax._progress import report
from carbjax._version import __version__

_PART = 2**18
_TIMEOUT_S = 30.0
_TRIES = 3
_WAIT_S = 1.0  # before the second try; twice as long before each further one
_PASSING = {408, 425, 429, 500, 502, 503, 504}


def download(url: str, file: DataFile, target: pathlib.Path) -> None:
    """Nothing; `target` holds the file. When it raises, `target` is as it was.

    Raises `FetchError` where the file cannot be had, `OutputError` where not written.
    """
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        _tried(url, file, temporary)
        require_content(temporary, file, f"It came from {url}; try again.")


def _tried(url: str, file: DataFile, temporary: pathlib.Path) -> None:
    for again in range(_TRIES):
        try:
            return _copied(url, file, temporary)
        except _Failed as failed:
            if not failed.passing or again == _TRIES - 1:
                raise FetchError(
                    f"{url} cannot be fetched ({failed}).",
                    hint="Check the network and its proxy, or put the file into a mirror "
                    f"folder (CARBJAX_DATA) as {file.mirror}.",
                ) from None
        time.sleep(_WAIT_S * 2**again)


class _Failed(Exception):
    """What went wrong with a try, and whether another may help."""

    def __init__(self, why: str, passing: bool):
        super().__init__(why)
        self.passing = passing


def _copied(url: str, file: DataFile, temporary: pathlib.Path) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": f"carbjax/{__version__}"})
    try:
        with (
            urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer,
            open(temporary, "wb") as out,
        ):
            total = file.size or int(answer.headers.get("Content-Length") or 0)
            done = 0
            while part := answer.read(_PART):
                done += out.write(part)
                report(f"bytes of {file.name}", done, max(total, done))
                if file.size is not None and done > file.size:
                    raise _Failed(f"it is longer than {file.size:,} bytes", passing=False)
    except urllib.error.HTTPError as cause:
        raise _Failed(f"{cause.code} {cause.reason}", cause.code in _PASSING) from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as cause:
        raise _Failed(str(getattr(cause, "reason", cause)), passing=True) from None
    except ConnectionError as cause:
        raise _Failed(str(cause), passing=True) from None
