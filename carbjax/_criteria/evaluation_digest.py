"""What a result depends on, in short strings that change when it does."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
import json
import pathlib
import platform
import re
from typing import Any

import jax
import numpy as np

from carbjax._attribution.methods import Method
from carbjax._serving.system import System
from carbjax._version import __version__
from carbjax._workload import Workload

_LENGTH = 16
_CODE = (".py", ".json", ".toml", ".csv")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def versions() -> dict[str, str]:
    """Of what an evaluation is made with."""
    packages = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib")}
    return {
        "carbjax": __version__,
        **packages,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def device() -> str:
    """What JAX computes on, and in how many bits."""
    found = jax.devices()[0]
    bits = 64 if jax.config.jax_enable_x64 else 32  # pyright: ignore
    return f"{found.platform} {found.device_kind}, {bits} bits"


def of_json(value: Any) -> str:
    """Of plain data."""
    return _of_bytes(json.dumps(value, sort_keys=True).encode())


def of_workload(workload: Workload) -> str:
    """Of its requests, players and calendar."""
    arrays = (
        workload.arrival_s,
        workload.num_prefill_tokens,
        workload.num_decode_tokens,
        workload.player,
    )
    return _of_bytes(*(x.tobytes() for x in arrays), str(workload.epoch).encode())


def of_system(system: System) -> str:
    """Of all its numbers and settings, the fitted ones included."""
    plain = dataclasses.replace(system, surrogate=None)
    leaves, structure = jax.tree.flatten(plain)
    numbers = [np.asarray(leaf).tobytes() for leaf in leaves]
    return _of_bytes(_ADDRESS.sub("", str(structure)).encode(), *numbers)


def of_method(method: Method) -> str:
    """Of its file where there is one, so that a change in it is seen; else of its name."""
    if getattr(method, "__module__", "").startswith("carbjax."):
        return of_code()
    try:
        source = pathlib.Path(inspect.getsourcefile(inspect.unwrap(method)) or "")
        return _of_bytes(source.read_bytes())
    except (TypeError, OSError):
        return getattr(method, "__qualname__", type(method).__qualname__)


@functools.cache
def of_code() -> str:
    """Of carbjax itself: between two releases the version says too little."""
    folder = pathlib.Path(__file__).parents[1]
    files = sorted(path for path in folder.rglob("*") if path.suffix in _CODE)
    return _of_bytes(*(path.read_bytes() for path in files))


def _of_bytes(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:_LENGTH]
