"""Ledgers that stop half way go on, and come out the same to the byte."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

import carbjax as cj
from carbjax import _files as files
from carbjax._ledger.checkpoint import GroupStore
from carbjax._ledger.folder import working_in
from tests.ledger import fleet
from tests.ledger.stops import Stop, stop_at, stopped_often

KILLS = int(os.environ.get("CARBJAX_KILLS", "3"))
PROGRAM = """
import sys
import jax
from tests.ledger import fleet
from tests.ledger.stops import Stop, stop_at, stopped_often
import carbjax._ledger.plan as plan
plan._FEWEST_LANES = fleet.LANES
jax.config.update("jax_enable_x64", True)
system = fleet.system()
print("begins", flush=True)
fleet.make(sys.argv[1], sys.argv[2], of=system, workers=int(sys.argv[3]))
"""


@pytest.fixture
def unfinished(tmp_path, source, made, monkeypatch):
    """A ledger that stopped after a few slices."""
    return _stopped(monkeypatch, source, tmp_path / "ledger", at=9)


def _stopped(monkeypatch, source, out, *, at: int) -> pathlib.Path:
    with monkeypatch.context() as patch, pytest.raises(Stop):
        stop_at(patch, at)
        fleet.make(source, out)
    return out


@pytest.mark.parametrize("after", [False, True])
def test_a_ledger_goes_on_from_any_write(after, tmp_path, source, made, monkeypatch):
    out = tmp_path / "ledger"
    stops = stopped_often(lambda: fleet.make(source, out), out, monkeypatch, after=after)
    assert stops > 5
    assert fleet.content(out) == fleet.content(made.folder)


def test_what_a_stopped_process_left_behind_is_cleared_away(unfinished, source, made):
    for name in ("requests/.part-00000-000001.ab12.parquet", ".by_tenant.ab12.parquet"):
        (unfinished / name).write_bytes(b"half a file")
    fleet.make(source, unfinished)
    assert fleet.content(unfinished) == fleet.content(made.folder)


def test_a_finished_ledger_is_not_made_again(source, made, monkeypatch):
    monkeypatch.setattr("carbjax._ledger.make._run", None)
    again = fleet.make(source, made.folder)
    assert again.manifest == made.manifest


def test_a_ledger_cleared_half_way_is_not_taken_for_a_finished_one(
    tmp_path, source, made, monkeypatch
):
    out = shutil.copytree(made.folder, tmp_path / "ledger")
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(shutil, "rmtree", lambda _: (_ for _ in ()).throw(Stop))
        fleet.make(source, out, fresh=True)
    fleet.make(source, out)
    assert fleet.content(out) == fleet.content(made.folder)


def test_fresh_replaces_a_ledger_of_something_else(unfinished, source, made):
    with pytest.raises(cj.ConfigError, match="differs in footprint, pue.*--fresh"):
        fleet.make(source, unfinished, of=fleet.system(pue=1.3))
    with pytest.raises(cj.ConfigError, match="differs in slice_rows"):
        fleet.make(source, unfinished, slice_rows=7)
    fleet.make(source, unfinished, market_intensity=1.0, fresh=True)
    fleet.make(source, unfinished, fresh=True)
    assert fleet.content(unfinished) == fleet.content(made.folder)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_with_something_else_is_left_alone(fresh, tmp_path, source):
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / "mine.txt").write_text("mine")
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(cj.ConfigError, match="something else than a ledger"):
        fleet.make(source, tmp_path, fresh=fresh)
    assert (tmp_path / "requests" / "mine.txt").read_text() == "mine"


def test_an_input_that_changed_is_named_when_a_ledger_goes_on(
    unfinished, tmp_path, source, two_lanes
):
    copy = shutil.copytree(source, tmp_path / "copy")
    with pytest.raises(cj.ConfigError, match="differs in"):
        fleet.make(copy, unfinished)
    changed = min(source.rglob("*.parquet"))
    before = changed.read_bytes()
    table = pq.read_table(changed, partitioning=None)
    pq.write_table(table.slice(1), changed)
    try:
        with pytest.raises(cj.TraceError, match="has changed since") as caught:
            fleet.make(source, unfinished)
    finally:
        changed.write_bytes(before)
    assert caught.value.file == str(changed)


def test_an_input_that_changes_meanwhile_is_named_at_the_end(
    tmp_path, source, made, monkeypatch
):
    copy = shutil.copytree(source, tmp_path / "copy")
    changed, write = max(copy.rglob("*.parquet")), GroupStore.write

    def change(store, checkpoint):
        changed.touch()
        if checkpoint.num_slices == 5:
            changed.write_bytes(changed.read_bytes() + b" ")
        write(store, checkpoint)

    monkeypatch.setattr(GroupStore, "write", change)
    with pytest.raises(cj.CarbjaxError, match="backend=d.*(changed|cannot be read)"):
        fleet.make(copy, tmp_path / "ledger")
    assert not (tmp_path / "ledger" / "manifest.json").exists()


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_is_named(damage, unfinished, source, made):
    (path,) = (unfinished / ".carbjax").glob("group-*.zip")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    kept = {"cut": content[:-100], "flip": content, "empty": b""}[damage]
    path.write_bytes(kept)
    with pytest.raises(cj.OutputError, match="checkpoint is damaged.*--fresh") as caught:
        fleet.make(source, unfinished)
    assert caught.value.file == str(path)


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"")])
def test_a_part_that_is_gone_is_missed(damage, unfinished, source, made):
    damage(min((unfinished / "requests").iterdir()))
    with pytest.raises(cj.OutputError, match="--fresh"):
        fleet.make(source, unfinished)
    assert not (unfinished / "manifest.json").exists()


def test_a_full_disk_is_an_error_and_the_ledger_goes_on(
    tmp_path, source, made, monkeypatch
):
    """What the system says when nothing more fits, at each write in turn."""
    out, real = tmp_path / "ledger", files._to_disk
    for number in (1, 4, 5, 25):
        left = number

        def full(path):
            nonlocal left
            left -= 1
            if left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(path)

        with monkeypatch.context() as patch:
            patch.setattr(files, "_to_disk", full)
            with pytest.raises(cj.OutputError, match="No space left on device"):
                fleet.make(source, out)
    fleet.make(source, out)
    assert fleet.content(out) == fleet.content(made.folder)


@pytest.fixture
def resize(tmp_path):
    """Makes a small file system, `tmp_path / "small"`, of so many KiB."""
    small = tmp_path / "small"
    small.mkdir()

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(small)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    mount("size=8k")
    yield lambda kib: mount(f"remount,size={kib}k")
    subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no `mount`")
def test_a_file_system_that_is_really_full_loses_nothing(tmp_path, source, made, resize):
    out, refused = tmp_path / "small" / "ledger", set()
    for kib in (8, 16, 48, 96, 128):
        resize(kib)
        with pytest.raises(cj.OutputError, match="No space left on device") as caught:
            fleet.make(source, out)
        refused.add(pathlib.Path(caught.value.file or "").suffix)
    assert refused == {".parquet", ".zip"}
    resize(4096)
    fleet.make(source, out)
    assert fleet.content(out) == fleet.content(made.folder)


def test_two_processes_do_not_make_one_ledger(tmp_path, source, made):
    with working_in(tmp_path / "ledger"):
        with pytest.raises(cj.ConfigError, match="another process"):
            fleet.make(source, tmp_path / "ledger")


def test_a_place_where_nothing_may_be_written_is_an_error(tmp_path, source):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "ledger", "/proc/nowhere/ledger"):
        with pytest.raises(cj.OutputError, match="cannot be made"):
            fleet.make(source, out)


def test_a_process_of_its_own_changes_no_byte(tmp_path, source, made, monkeypatch):
    """The first group is there already: one process less that compiles."""
    out = _stopped(monkeypatch, source, tmp_path / "ledger", at=12)
    fleet.make(source, out, workers=2)
    assert fleet.content(out) == fleet.content(made.folder)


def test_a_ledger_that_is_killed_goes_on(tmp_path, source, made, kept_programs):
    """`CARBJAX_KILLS` says how often; with processes of its own every other time."""
    rng, out, kills = np.random.default_rng(0), tmp_path / "ledger", 0
    while kills < KILLS:
        program = _begun(source, out, kept_programs, workers=1 + kills % 2)
        wanted = _num_parts(out) + int(rng.integers(0, 4))
        while program.poll() is None and _num_parts(out) < wanted:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        program.send_signal(signal.SIGKILL)
        if program.wait() == 0:
            shutil.rmtree(out)
        else:
            kills += 1
            print(f"killed after {_num_parts(out)} parts")
    fleet.make(source, out)
    assert fleet.content(out) == fleet.content(made.folder)


def _num_parts(out: pathlib.Path) -> int:
    return len(list(out.glob("requests/part-*")))


def _begun(source, out, programs, workers: int) -> subprocess.Popen:
    """A process that is about to make the ledger."""
    kept = {
        "JAX_COMPILATION_CACHE_DIR": str(programs),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, source, out, str(workers)],
        stdout=subprocess.PIPE,
        env=os.environ | kept,
        text=True,
    )
    assert program.stdout is not None
    with program.stdout:
        assert program.stdout.readline() == "begins\n"
    return program
