"""Processes that carry an evaluation's methods out side by side, through its store.

Most of an evaluation is compilation, which one processor does at a time. Each process
takes the next method that nobody has taken, and leaves what it finds in the store; who
began them reads it there. One that dies costs time alone: its tasks are done again.
"""

import contextlib
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence

import jax

from carbjax._criteria.evaluation_bench import Bench
from carbjax._criteria.evaluation_run import Runner
from carbjax._criteria.evaluation_store import Store

_PROGRAM = "from carbjax._criteria.evaluation_workers import help_out; help_out()"
_FLAGS = (
    "jax_enable_x64",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


def run_together(
    bench: Bench, store: Store, criteria: Sequence[str], *, workers: int
) -> None:
    """Nothing; the store holds what carbjax's own methods were found to be like.

    `workers` processes, this one among them. Methods of somebody else's, which another
    process may not know, are left out.
    """
    own = {name: each for name, each in bench.methods.items() if each.is_own}
    runner = Runner(Bench(own, bench.cuts, bench.system, bench.settings), store)
    with tempfile.TemporaryDirectory() as taken:
        # The last ones registered take the longest, and are best begun first.
        names = tuple(reversed(own))
        job = pickle.dumps((runner, names, tuple(criteria), taken))
        with _helpers(min(workers, len(own)) - 1, job):
            _take_turns(runner, names, criteria, taken)


def help_out() -> None:
    """Nothing; what `run_together` asks for on standard input is done, by this process."""
    given = sys.stdin.buffer
    for name, value in pickle.load(given).items():
        jax.config.update(name, value)
    # Arrays lose bits where they are made before 64 bits are enabled.
    job = pickle.loads(pickle.load(given))
    threading.Thread(target=_end_with_caller, daemon=True).start()
    _take_turns(*job)


def _take_turns(
    runner: Runner, names: Sequence[str], criteria: Sequence[str], taken: str
) -> None:
    for name in names:
        if _is_free(pathlib.Path(taken) / name):
            runner.run_method(name, criteria)


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
def _helpers(count: int, job: bytes) -> Iterator[None]:
    """Processes that do the job within the block, and end with it."""
    flags = pickle.dumps({name: getattr(jax.config, name) for name in _FLAGS})
    command = [sys.executable, "-c", _PROGRAM]
    helpers = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(count)]
    try:
        for helper in helpers:
            assert helper.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                helper.stdin.write(flags + pickle.dumps(job))
                helper.stdin.flush()
        yield
        for helper in helpers:
            helper.wait()
    finally:
        for helper in helpers:
            helper.kill()
            helper.communicate()
