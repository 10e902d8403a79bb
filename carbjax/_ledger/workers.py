"""Groups of backends, each a task: in this process, in others, or on a Ray cluster."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import jax

from carbjax._errors import CarbjaxError, ConfigError
from carbjax._ledger.checkpoint import GroupStore
from carbjax._ledger.group import Group, GroupResult, run_group
from carbjax._runtime import enable_compilation_cache, set_precision, use_one_thread

_LOOK_S = 0.5  # between looks at how far the workers are
_counts: Any = None  # in a worker: requests that came, by group
_stop: Any = None  # in a worker: whether another has failed


class _Stopped(CarbjaxError):
    """Another group failed: this one goes on when the ledger does."""


def run_groups(
    groups: Sequence[Group],
    folder: str,
    *,
    workers: int,
    engine: str,
    advance: Callable[[int], None],
) -> Iterator[GroupResult]:
    """Results of the groups as they end. Raises what a group raised."""
    if engine == "ray":
        yield from _on_ray(groups, folder, advance)
    elif workers == 1 or len(groups) == 1:
        for group in groups:
            yield run_group(group, GroupStore(folder, group.number), advance)
    else:
        yield from _in_processes(groups, folder, workers, advance)


def _in_processes(
    groups: Sequence[Group], folder: str, workers: int, advance: Callable[[int], None]
) -> Iterator[GroupResult]:
    context = multiprocessing.get_context("spawn")
    # Neither has a lock: a worker that is killed can leave none behind.
    counts, stop = context.RawArray("q", len(groups)), context.RawValue("b", 0)
    pool = concurrent.futures.ProcessPoolExecutor(
        min(workers, len(groups)), context, _begin_worker, (counts, stop, _programs())
    )
    told = 0
    try:
        left = {pool.submit(_task, i, group, folder) for i, group in enumerate(groups)}
        while left:
            ended, left = concurrent.futures.wait(
                left, _LOOK_S, concurrent.futures.FIRST_COMPLETED
            )
            came = sum(counts)
            advance(came - told)
            told = came
            yield from (task.result() for task in ended)
    except BrokenProcessPool:
        raise CarbjaxError(
            "a worker process died (out of memory?). Run it again: the ledger goes on "
            "where it stopped, and 1 worker needs less memory. In a script, call "
            "`make_ledger` under `if __name__ == '__main__':`."
        ) from None
    finally:
        stop.value = 1
        pool.shutdown(cancel_futures=True)


def _begin_worker(counts: Any, stop: Any, programs: str | None) -> None:
    global _counts, _stop
    _counts, _stop = counts, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it tells it to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _begin_computing()
    if programs is not None:
        enable_compilation_cache(programs)


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def set_up_worker() -> None:
    """Nothing; this process computes as a worker: with one thread in 64 bits."""
    _begin_computing()
    enable_compilation_cache()


def _begin_computing() -> None:
    # One thread a process: lanes fill it, and processes share the cores.
    use_one_thread()
    set_precision(64)


def _programs() -> str | None:
    """Where this process keeps compiled programs, if it does."""
    return getattr(jax.config, "jax_compilation_cache_dir")


def _task(place: int, group: Group, folder: str) -> GroupResult:
    def advance(count: int) -> None:
        _counts[place] += count
        if _stop.value:
            raise _Stopped("another group of backends failed.")

    return run_group(group, GroupStore(folder, group.number), advance)


def _on_ray(
    groups: Sequence[Group], folder: str, advance: Callable[[int], None]
) -> Iterator[GroupResult]:
    """On the cluster that Ray finds, or a local one; `folder` must be shared by its nodes.

    A task whose worker dies is run again, and goes on from its checkpoint.
    """
    ray = _ray()
    home, keep_programs = os.getcwd(), _programs() is not None

    @ray.remote(max_retries=-1, num_cpus=1)
    def task(group: Group) -> GroupResult:
        with contextlib.suppress(OSError):
            os.chdir(home)  # names of inputs may be relative
        _begin_computing()
        if keep_programs:  # another machine's folder, if its CPU is of another kind
            enable_compilation_cache()
        store = GroupStore(os.path.join(home, folder), group.number)
        return run_group(group, store, lambda count: None)

    waiting = [task.remote(group) for group in groups]
    try:
        while waiting:
            (ended,), waiting = ray.wait(waiting, num_returns=1)
            result = ray.get(ended)
            advance(result.num_requests + result.num_rejected)
            yield result
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise CarbjaxError(
            f"Ray stopped ({error}). Run it again: the ledger goes on where it stopped."
        ) from None
    finally:
        for one in waiting:
            ray.cancel(one, force=True)


def _ray() -> Any:
    """Ray, connected to a cluster. Raises `ConfigError` where it is not installed."""
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.exceptions  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError(
            "Ray is not installed.", hint="Install it: `pip install 'carbjax[ray]'`."
        ) from None
    if not ray.is_initialized():
        with warnings.catch_warnings():
            # Ray forks, and what it forks is another program at once.
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            ray.init(log_to_driver=False)
    return ray
