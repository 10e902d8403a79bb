"""Groups of backends, each a task: in this process, in others, or on a Ray cluster."""

import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from carbjax._errors import CarbjaxError, ConfigError
from carbjax._ledger.checkpoint import GroupStore
from carbjax._ledger.group import Group, GroupResult, run_group
from carbjax._runtime import enable_compilation_cache, set_precision

# One thread a process: lanes fill it, and processes share the cores.
_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
_heard: Any = None  # where a worker tells of its progress


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
    queue = context.SimpleQueue()

    def listen() -> None:
        while (count := queue.get()) is not None:
            advance(count)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    pool = concurrent.futures.ProcessPoolExecutor(
        min(workers, len(groups)), context, _begin_worker, (queue,)
    )
    try:
        tasks = [pool.submit(_task, group, folder) for group in groups]
        for task in concurrent.futures.as_completed(tasks):
            yield task.result()
    except BrokenProcessPool:
        raise CarbjaxError(
            "a worker process died (out of memory?). Run the command again: the ledger "
            "goes on where it stopped; --workers 1 needs less memory."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
        queue.put(None)
        listener.join()


def _begin_worker(queue: Any) -> None:
    global _heard
    _heard = queue
    _set_up()


def _set_up() -> None:
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_ONE_THREAD}"
    set_precision(64)
    enable_compilation_cache()


def _task(group: Group, folder: str) -> GroupResult:
    return run_group(group, GroupStore(folder, group.number), _heard.put)


def _on_ray(
    groups: Sequence[Group], folder: str, advance: Callable[[int], None]
) -> Iterator[GroupResult]:
    """On the cluster that Ray finds, or a local one; `folder` must be shared by its nodes.

    A task whose worker dies is run again, and goes on from its checkpoint.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError(
            "Ray is not installed.", hint="Install it: `pip install 'carbjax[ray]'`."
        ) from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False)

    @ray.remote(max_retries=-1, num_cpus=1)
    def task(group: Group) -> GroupResult:
        _set_up()
        return run_group(group, GroupStore(folder, group.number), lambda count: None)

    waiting = [task.remote(group) for group in groups]
    while waiting:
        (ended,), waiting = ray.wait(waiting, num_returns=1)
        result = ray.get(ended)
        advance(result.num_requests)
        yield result
