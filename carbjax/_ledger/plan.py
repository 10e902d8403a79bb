"""What a ledger is made of: written before the work, and compared when it goes on."""

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from carbjax._errors import ConfigError, TraceError
from carbjax._ledger.backends import Backend
from carbjax._ledger.group import Group
from carbjax._serving.system import System
from carbjax._version import __version__

FORMAT = 1
_LIBRARIES = ("jax", "jaxlib", "numpy", "pyarrow")
_READ_AT_ONCE = 1 << 20
_MOST_LANES = 64
_FEWEST_LANES = 8
_GROUPS_WANTED = 4  # where there are few backends, so that processes share them


def make_groups(
    backends: Sequence[Backend],
    system: System,
    *,
    market_intensity: float | None,
    slice_rows: int,
) -> list[Group]:
    """Backends in groups of up to 64: the same whatever the number of processes."""
    wanted = -(-len(backends) // _GROUPS_WANTED)
    size = min(max(wanted, _FEWEST_LANES), _MOST_LANES)
    return [
        Group(
            number,
            tuple(backends[first : first + size]),
            system,
            market_intensity,
            slice_rows,
        )
        for number, first in enumerate(range(0, len(backends), size))
    ]


def plan_of(groups: Sequence[Group], hashes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Everything that the ledger depends on, as plain data."""
    first = groups[0]
    return {
        "format": FORMAT,
        "carbjax": __version__,
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "machine": platform.machine(),
        "method": "streaming",
        "system": describe(first.system),
        "market_intensity": first.market_intensity,
        "slice_rows": first.slice_rows,
        "inputs": hashes,
        "groups": [
            {
                b.name: {"requests": b.num_requests, "inputs": list(b.inputs)}
                for b in g.backends
            }
            for g in groups
        ],
    }


def describe(system: System) -> dict[str, Any]:
    """A system as plain data; arrays by a hash of their content."""
    intensity = system.carbon_intensity
    series = hashlib.sha256(intensity.edges_s.tobytes() + intensity.values.tobytes())
    return {
        "accelerator": system.accelerator.name,
        "model": system.model.name,
        "tensor_parallel": system.tensor_parallel,
        "policy": system.policy,
        "max_num_seqs": system.max_num_seqs,
        "max_num_batched_tokens": system.max_num_batched_tokens,
        "kv_capacity_tokens": system.kv_capacity_tokens,
        "pue": system.pue,
        "provisioning": system.provisioning,
        "carbon_intensity": intensity.name,
        "carbon_intensity_kind": intensity.kind,
        "carbon_intensity_sha256": series.hexdigest(),
        "footprint": [float(x) for x in jax.tree.leaves(system.footprint)],
        "cost_sha256": _hash_of(system.cost),
    }


def hash_inputs(backends: Sequence[Backend]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each input file. Raises `TraceError`."""
    files = sorted({file for backend in backends for file in backend.inputs})
    return {file: _fingerprint(file) for file in files}


def require_unchanged(hashes: dict[str, dict[str, Any]]) -> None:
    """Raises `TraceError`, naming the first input that is not what it was."""
    for file, before in hashes.items():
        if _fingerprint(file) != before:
            raise _changed(file)


def _changed(file: str) -> TraceError:
    return TraceError(
        "the file has changed since the ledger was begun.",
        file=file,
        hint="Restore it, or make the ledger anew: --fresh.",
    )


def require_same(plan: dict[str, Any], before: dict[str, Any], folder: str) -> None:
    """Raises what differs between a plan and the one begun.

    `TraceError` where the content of an input does, else `ConfigError`.
    """
    for file, content in before.get("inputs", {}).items():
        if plan["inputs"].get(file, content) != content:
            raise _changed(file)
    changed = [key for key in plan if plan[key] != before.get(key)]
    if not changed:
        return
    first = changed[0]
    inner = plan[first]
    if isinstance(inner, dict) and isinstance(before.get(first), dict):
        old = before[first]
        names = {*inner, *old}
        first = ", ".join(sorted(n for n in names if inner.get(n) != old.get(n)))
    raise ConfigError(
        f"the folder holds a ledger of something else: it differs in {first}.",
        file=folder,
        hint="Give another folder, or --fresh to replace it.",
    )


def _fingerprint(file: str) -> dict[str, Any]:
    digest = hashlib.sha256()
    try:
        with open(file, "rb") as stream:
            while block := stream.read(_READ_AT_ONCE):
                digest.update(block)
            size = os.fstat(stream.fileno()).st_size
    except OSError as cause:
        raise TraceError(
            f"cannot be read ({cause.strerror}).", file=file, hint="Make it readable."
        ) from None
    return {"bytes": size, "sha256": digest.hexdigest()}


def _hash_of(tree: Any) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()
