"""Chunks and runs of a schedule, from who had how many tokens in each iteration."""

import numpy as np

from carbjax._errors import TraceError
from carbjax._traces.iteration_log import IterationLog
from carbjax._traces.scheduled import ScheduledTokens
from carbjax._workload import Workload

Columns = tuple[np.ndarray, np.ndarray, np.ndarray]


def rows_of_tokens(
    log: IterationLog, scheduled: ScheduledTokens, workload: Workload
) -> tuple[Columns, Columns, np.ndarray]:
    """Prompt chunks, runs of decodes, and cached tokens of each request.

    A request's tokens are its prompt until that is read, then answers one by one. Raises
    `TraceError` about the first line or request that does not fit.
    """
    number = _numbers(workload)
    request = _known(log, scheduled, number)
    cached = np.zeros(workload.num_requests, np.int64)
    for name, tokens in scheduled.cached.items():
        if name in number:
            cached[number[name]] = tokens
    order = np.lexsort((scheduled.iteration, request))
    iteration, request = scheduled.iteration[order], request[order]
    tokens = scheduled.tokens[order]
    _require_sums(log, workload, request, tokens, cached)
    before = cached[request] + _sums_before(tokens, request)
    prompt = workload.num_prefill_tokens[request]
    reads = before < prompt
    _refuse(
        log,
        reads & (before + tokens > prompt),
        iteration,
        lambda k: (
            f"{_name(workload, int(request[k]))!r} reads beyond its prompt in one go."
        ),
    )
    _refuse(
        log,
        ~reads & (tokens != 1),
        iteration,
        lambda k: (
            f"{_name(workload, int(request[k]))!r} has {tokens[k]} answer tokens in one "
            "iteration (speculative decoding)."
        ),
    )
    chunks = iteration[reads], request[reads], tokens[reads]
    return chunks, _runs(iteration[~reads], request[~reads]), cached


def _numbers(workload: Workload) -> dict[str, int]:
    ids = workload.request_ids
    names = range(workload.num_requests) if ids is None else ids
    return {str(name): i for i, name in enumerate(names)}


def _name(workload: Workload, i: int) -> str:
    return str(i) if workload.request_ids is None else workload.request_ids[i]


def _known(log: IterationLog, scheduled: ScheduledTokens, number: dict[str, int]):
    request = np.array([number.get(name, -1) for name in scheduled.request], np.int64)
    _refuse(
        log,
        request < 0,
        scheduled.iteration,
        lambda k: f"{scheduled.request[k]!r} is in this iteration and not in the requests.",
        "Give all requests of the log; was one still running at its end?",
    )
    return request


def _require_sums(log, workload: Workload, request, tokens, cached) -> None:
    """Each request's tokens are its prompt, and one for each answer token but the first."""
    found = np.bincount(request, tokens, workload.num_requests).astype(np.int64)
    answers = np.maximum(workload.num_decode_tokens - 1, 0)
    needed = np.where(workload.is_null, 0, workload.num_prefill_tokens - cached + answers)
    for i in np.flatnonzero(found != needed)[:1].tolist():
        raise TraceError(
            f"request {_name(workload, i)!r} has {found[i]} tokens in the iterations, and "
            f"{needed[i]} by its lengths ({workload.num_prefill_tokens[i]} prompt, "
            f"{cached[i]} of them cached, {workload.num_decode_tokens[i]} answer).",
            file=log.file,
            hint="Is part of the log missing, or was it preempted and read again? Prefix "
            "caches are logged as `cached`.",
        )


def _runs(iteration: np.ndarray, request: np.ndarray) -> Columns:
    """Runs of consecutive iterations of the same request."""
    begins = np.ones(len(request), bool)
    begins[1:] = (np.diff(request) != 0) | (np.diff(iteration) != 1)
    ends = np.roll(begins, -1)
    return request[begins], iteration[begins], iteration[ends]


def _sums_before(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Of each row, the sum over the earlier rows of its group; groups are in order."""
    before = np.cumsum(values) - values
    starts = np.ones(len(group), bool)
    starts[1:] = np.diff(group) != 0
    place = np.maximum.accumulate(np.where(starts, np.arange(len(group)), 0))
    return before - before[place]


def _refuse(log: IterationLog, bad, iteration, problem, hint: str | None = None) -> None:
    for k in np.flatnonzero(bad)[:1]:
        raise log.fail(int(iteration[k]), problem(k), hint)
