"""Processes that carry an evaluation's methods out side by side, through its store.

Most of an evaluation is compilation, which one processor does at a time. Each process
takes the next method that nobody has taken, and leaves what it finds in the store; who
began them reads it there. One that dies costs time alone: its tasks are done again.
"""

import contextlib
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

import jax

from carbjax._criteria.evaluation_bench import Bench
from carbjax._criteria.evaluation_run import Runner
from carbjax._criteria.evaluation_store import Store
from carbjax._criteria.evaluation_tasks import tasks_of
from carbjax._progress import listening, report

_PROGRAM = "from carbjax._criteria.evaluation_workers import help_out; help_out()"
_FLAGS = (
    "jax_enable_x64",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_XLA = "--xla_cpu_multi_thread_eigen=false"
# Small programs are compiled in half the time. jaxlib 0.11 refuses to know it.
_XLA_OF_0_10 = "--xla_cpu_use_fusion_emitters=false"
_LOOK_S = 0.2  # between looks at how far the workers are


def run_together(
    bench: Bench, store: Store, criteria: Sequence[str], *, workers: int
) -> None:
    """Nothing; the store holds what carbjax's own methods were found to be like.

    `workers` processes beside this one, which waits for them. Methods of somebody else's,
    which another process may not know, are left out.
    """
    own = {name: each for name, each in bench.methods.items() if each.is_own}
    runner = Runner(Bench(own, bench.cuts, bench.system, bench.settings), store)
    total = len(tasks_of(criteria, list(own), len(bench.cuts)))
    with tempfile.TemporaryDirectory() as folder:
        taken = pathlib.Path(folder)
        # The last ones registered take the longest, and are best begun first.
        job = pickle.dumps((runner, tuple(reversed(own)), tuple(criteria), taken))
        with _helpers(min(workers, len(own)), job) as helpers:
            while any(helper.poll() is None for helper in helpers):
                time.sleep(_LOOK_S)
                done = sum(path.stat().st_size for path in taken.iterdir())
                report("tasks of the workers", done, total)


def help_out() -> None:
    """Nothing; what `run_together` asks for on standard input is done, by this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever began it ends it
    given = sys.stdin.buffer
    for name, value in pickle.load(given).items():
        jax.config.update(name, value)
    # Arrays lose bits where they are made before 64 bits are enabled.
    job = pickle.loads(pickle.load(given))
    threading.Thread(target=_end_with_caller, daemon=True).start()
    _take_turns(*job)


def worker_environment(given: Mapping[str, str], jaxlib: str) -> dict[str, str]:
    """The environment of a worker: a thread each, and programs that compile quickly.

    What the user has `given` stays as it is. `jaxlib`: its version.
    """
    flags = given.get("XLA_FLAGS", "").split()
    if flags and not flags[0].startswith("-"):
        return {**_ONE_THREAD, **given}  # they stand in a file of this name
    known = {flag.partition("=")[0] for flag in flags}
    wanted = [_XLA, _XLA_OF_0_10] if jaxlib.startswith("0.10.") else [_XLA]
    flags += [flag for flag in wanted if flag.partition("=")[0] not in known]
    return {**_ONE_THREAD, **given, "XLA_FLAGS": " ".join(flags)}


def _take_turns(
    runner: Runner, names: Sequence[str], criteria: Sequence[str], taken: pathlib.Path
) -> None:
    for name in names:
        if _is_free(taken / name):
            with _counting(taken / name):
                runner.run_method(name, criteria)


@contextlib.contextmanager
def _counting(path: pathlib.Path) -> Iterator[None]:
    """Within the block, the file grows by a byte with each task that is done."""

    def grow(what: str, done: int, total: int) -> None:
        file.write(b".")

    with path.open("ab", buffering=0) as file, listening(grow):
        yield


def _is_free(path: pathlib.Path) -> bool:
    """Whether nobody has taken it yet; now it is taken."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _end_with_caller() -> None:
    """Whoever began this process holds its standard input open as long as they live."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


@contextlib.contextmanager
def _helpers(count: int, job: bytes) -> Iterator[list[subprocess.Popen]]:
    """Processes that do the job, and end with the block at the latest."""
    flags = pickle.dumps({name: getattr(jax.config, name) for name in _FLAGS})
    command = [sys.executable, "-c", _PROGRAM]
    environment = worker_environment(os.environ, version("jaxlib"))
    helpers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
        for _ in range(count)
    ]
    try:
        for helper in helpers:
            assert helper.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                helper.stdin.write(flags + pickle.dumps(job))
                helper.stdin.flush()
        yield helpers
    finally:
        for helper in helpers:
            helper.kill()
            helper.communicate()
