"""Where a group of backends stands between two slices, on disk."""

import dataclasses as dc
import io
import json
import os
import pathlib
import zipfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from carbjax._errors import OutputError
from carbjax._files import replacing
from carbjax._ledger.closing import RunningSum
from carbjax._ledger.folder import (
    REJECTS_FOLDER,
    REQUESTS_FOLDER,
    part_name,
    work_folder,
)


@dc.dataclass(frozen=True)
class Checkpoint:
    """All that the next slice depends on."""

    num_slices: int
    zero_s: float  # second 0 of the fleet's clock, on that of the arrivals
    taken: np.ndarray  # rows that have come, " lanes"
    rejected: np.ndarray  # of these, that cannot be used
    last_s: np.ndarray  # the latest arrival of a row that can
    seated: np.ndarray  # requests that are no null players
    start_s: np.ndarray  # first arrival that is no null player's
    clock_s: np.ndarray  # end of the last iteration, on the fleet's clock
    longest_prompt: int
    longest_context: int
    charged: dict[str, RunningSum]
    emitted: dict[str, RunningSum]
    waiting: pa.Table  # requests that came and have not been written
    rollups: dict[str, pa.Table] | None
    fleet: list[np.ndarray]  # see `Fleet.state`


_ARRAYS = ("taken", "rejected", "last_s", "seated", "start_s", "clock_s")
_NUMBERS = ("num_slices", "zero_s", "longest_prompt", "longest_context")


class GroupStore:
    """A group's part files, and its checkpoint, each of which appears whole.

    A part is written before the checkpoint that counts it, so a part without one is
    written again, the same.
    """

    def __init__(self, folder: str | os.PathLike[str], number: int):
        self._folder = pathlib.Path(folder)
        self._number = number
        self._checkpoint = pathlib.Path(work_folder(folder), f"group-{number:05d}.zip")

    def write_part(self, slice_number: int, rows: pa.Table) -> None:
        """Nothing; the rows stand in a file of their own. Raises `OutputError`."""
        self._write_part(REQUESTS_FOLDER, slice_number, rows)

    def write_rejects(self, slice_number: int, rows: pa.Table) -> None:
        """Nothing; the slice's rejects stand in a file of their own, likewise."""
        self._write_part(REJECTS_FOLDER, slice_number, rows)

    def _write_part(self, kind: str, slice_number: int, rows: pa.Table) -> None:
        if rows.num_rows == 0:
            return
        path = self._folder / kind / part_name(self._number, slice_number)
        with replacing(path) as temporary:
            pq.write_table(rows, temporary, compression="zstd")

    def write(self, checkpoint: Checkpoint) -> None:
        """Nothing; the checkpoint takes the place of the one before."""
        with replacing(self._checkpoint) as temporary:
            _write(checkpoint, temporary)

    def read(self) -> Checkpoint | None:
        """The last checkpoint, None where there is none. Raises `OutputError`."""
        if not self._checkpoint.exists():
            return None
        try:
            return _read(self._checkpoint)
        except Exception:  # whatever readers of zip, JSON and Arrow make of a torn file
            raise OutputError(
                "the checkpoint is damaged.",
                file=self._checkpoint,
                hint="Start anew with --fresh.",
            ) from None


def _write(checkpoint: Checkpoint, path: pathlib.Path) -> None:
    sums = {
        side: {name: [x.total, x.lost] for name, x in getattr(checkpoint, side).items()}
        for side in ("charged", "emitted")
    }
    plain = {name: getattr(checkpoint, name) for name in _NUMBERS} | sums
    arrays = {name: getattr(checkpoint, name) for name in _ARRAYS}
    arrays |= {f"fleet-{i:03d}": array for i, array in enumerate(checkpoint.fleet)}
    rollups = checkpoint.rollups or {}
    tables = {"waiting": checkpoint.waiting}
    tables |= {f"by-{name}": table for name, table in rollups.items()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("checkpoint.json", json.dumps(plain))
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())
        for name, table in tables.items():
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            archive.writestr(f"{name}.arrows", sink.getvalue().to_pybytes())


def _read(path: pathlib.Path) -> Checkpoint:
    with zipfile.ZipFile(path) as archive:
        plain = json.loads(archive.read("checkpoint.json"))
        names = sorted(archive.namelist())
        arrays = {
            name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)))
            for name in names
            if name.endswith(".npy")
        }
        tables = {
            name.removesuffix(".arrows"): pa.ipc.open_stream(archive.read(name)).read_all()
            for name in names
            if name.endswith(".arrows")
        }
    sums = {
        side: {name: RunningSum(*value) for name, value in plain[side].items()}
        for side in ("charged", "emitted")
    }
    content: dict[str, Any] = {name: plain[name] for name in _NUMBERS}
    content |= {name: arrays[name] for name in _ARRAYS} | sums
    return Checkpoint(
        **content,
        waiting=tables.pop("waiting"),
        rollups={name.removeprefix("by-"): table for name, table in tables.items()},
        fleet=[arrays[name] for name in sorted(arrays) if name.startswith("fleet-")],
    )
