"""What a ledger is made of: written before the work, and compared when it goes on."""

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from carbjax._carbon.intensity import Intensity
from carbjax._errors import ConfigError, TraceError
from carbjax._ledger.backends import Backend
from carbjax._ledger.group import Group
from carbjax._ledger.models import models_of
from carbjax._serving.system import System
from carbjax._version import __version__

FORMAT = 3
_LIBRARIES = ("jax", "jaxlib", "numpy", "pyarrow")
_READ_AT_ONCE = 1 << 20
_MOST_LANES = 64
_FEWEST_LANES = 8
_GROUPS_WANTED = 4  # where there are few backends, so that processes share them


def make_groups(
    backends: Sequence[Backend],
    system: System | Mapping[str, System],
    *,
    market: Intensity | None,
    slice_rows: int,
) -> list[Group]:
    """Backends of a model in groups of up to 64: the same whatever the number of processes.

    Raises `ConfigError` where a backend's model has no system.
    """
    by_model: dict[str, list[Backend]] = {}
    for backend, model in zip(backends, models_of(backends, system), strict=True):
        by_model.setdefault(model, []).append(backend)
    wanted = -(-len(backends) // _GROUPS_WANTED)
    size = min(max(wanted, _FEWEST_LANES), _MOST_LANES)
    shares = [
        (model, tuple(mine[first : first + size]))
        for model, mine in sorted(by_model.items())
        for first in range(0, len(mine), size)
    ]
    return [
        Group(
            number,
            mine,
            system if isinstance(system, System) else system[model],
            model,
            market,
            slice_rows,
        )
        for number, (model, mine) in enumerate(shares)
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
        "systems": {group.model: describe(group.system) for group in groups},
        "market_intensity": None if first.market is None else _series(first.market),
        "slice_rows": first.slice_rows,
        "inputs": hashes,
        "groups": [
            {
                "model": g.model,
                "backends": {
                    b.name: {
                        "rows": b.num_requests,
                        "rejects": b.rejects,
                        "inputs": list(b.inputs),
                    }
                    for b in g.backends
                },
            }
            for g in groups
        ],
    }


def _series(intensity: Intensity) -> dict[str, str]:
    digest = hashlib.sha256(intensity.edges_s.tobytes() + intensity.values.tobytes())
    return {
        "name": intensity.name,
        "kind": intensity.kind,
        "sha256": digest.hexdigest(),
    }


def describe(system: System) -> dict[str, Any]:
    """A system as plain data; arrays by a hash of their content."""
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
        "carbon_intensity": _series(system.carbon_intensity),
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
    differing = ", ".join(dict.fromkeys(_differing(plan, before, changed[0])))
    raise ConfigError(
        f"the folder holds a ledger of something else: it differs in {differing}.",
        file=folder,
        hint="Give another folder, or --fresh to replace it.",
    )


def _differing(new: dict[str, Any], old: dict[str, Any], name: str) -> list[str]:
    """The innermost names whose values differ."""
    inner, before = (_by_name(side.get(name)) for side in (new, old))
    if inner is None or before is None or name.endswith("_intensity"):
        return [name]
    names = sorted(n for n in {*inner, *before} if inner.get(n) != before.get(n))
    return [each for n in names for each in _differing(inner, before, n)]


def _by_name(value: Any) -> dict[str, Any] | None:
    """The parts of a table or of a list of tables by name; None of anything else."""
    if isinstance(value, dict):
        return value
    tables = isinstance(value, list) and all(isinstance(each, dict) for each in value)
    return {f"{i:06d}": each for i, each in enumerate(value)} if tables else None


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
