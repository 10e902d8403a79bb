"""Who took part in which recorded iterations: prompt chunks and runs of decodes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import ArrayLike

from carbjax._errors import WorkloadError
from carbjax._workload import Workload

Rows = tuple[ArrayLike, ArrayLike, ArrayLike]


class Chunks(NamedTuple):
    """A row for each chunk of a prompt, in order of request and iteration."""

    iteration: Int[np.ndarray, " chunks"]
    request: Int[np.ndarray, " chunks"]
    tokens: Int[np.ndarray, " chunks"]
    cached: Int[np.ndarray, " chunks"]  # prompt tokens there before
    ends_prompt: Bool[np.ndarray, " chunks"]


class Runs(NamedTuple):
    """A row for each run of decodes without a pause, in order of request and time."""

    request: Int[np.ndarray, " runs"]
    first: Int[np.ndarray, " runs"]
    length: Int[np.ndarray, " runs"]
    context: Int[np.ndarray, " runs"]  # tokens read by its first decode

    @property
    def last(self) -> Int[np.ndarray, " runs"]:
        return self.first + self.length - 1


def whole_numbers(name: str, values: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """The values as int64, or `WorkloadError`."""
    given = np.asarray(values)
    if given.shape != shape:
        raise WorkloadError(
            f"`{name}` has shape {given.shape}, not {shape}.", hint="Give a value for each."
        )
    if given.dtype.kind not in "iuf" or not (given == np.floor(given)).all():
        raise WorkloadError(f"`{name}` holds other than whole numbers.")
    return given.astype(np.int64)


def whole_prompts(requests: Workload, cached: np.ndarray, first: np.ndarray | None) -> Rows:
    """Rows in which every prompt is read whole in its request's first iteration."""
    assert first is not None
    served = np.flatnonzero(~requests.is_null)
    return first[served], served, (requests.num_prefill_tokens - cached)[served]


def without_gaps(requests: Workload, chunks: Chunks, last: np.ndarray | None) -> Rows:
    """Rows in which every request decodes from its prompt to its last iteration."""
    assert last is not None
    decodes = requests.num_decode_tokens[chunks.request] > 1
    begin = chunks.ends_prompt & decodes
    request, first = chunks.request[begin], chunks.iteration[begin] + 1
    took, needed = last[request] - first + 1, requests.num_decode_tokens[request] - 1
    _require(
        took == needed,
        request,
        lambda k: (
            f"has {needed[k] + 1} answer tokens, and from its prompt to iteration "
            f"{last[request[k]]} there are {took[k]} iterations"
        ),
        "The first token comes with the prompt, each later one takes one iteration. Say "
        "when it decoded with `runs=DecodeRuns(request, first, last)`.",
    )
    return request, first, last[request]


def chunk_table(
    rows: Rows, requests: Workload, cached: np.ndarray, num_iterations: int
) -> Chunks:
    """The chunks in order, checked: together they are the prompts."""
    iteration, request, tokens = _columns(
        "chunks", rows, ("iteration", "request", "tokens")
    )
    _require_request(request, requests, "chunks")
    _require(
        (iteration >= 0) & (iteration < num_iterations),
        request,
        lambda k: f"reads its prompt in iteration {iteration[k]} of {num_iterations}",
        "Iterations count from 0.",
    )
    order = np.lexsort((iteration, request))
    iteration, request, tokens = iteration[order], request[order], tokens[order]
    again = (np.diff(request) == 0) & (np.diff(iteration) == 0)
    _require(
        np.concatenate([~again, [True]]),
        request,
        lambda k: f"has two chunks in iteration {iteration[k]}",
        "Add their tokens up.",
    )
    prompt = requests.num_prefill_tokens
    _require_prompts(request, tokens, requests, cached)
    before = _sums_before(tokens, request)
    return Chunks(
        iteration,
        request,
        tokens,
        cached[request] + before,
        cached[request] + before + tokens == prompt[request],
    )


def _require_prompts(request, tokens, requests: Workload, cached: np.ndarray) -> None:
    """Each prompt read once and whole, but for what was cached, by chunks of something."""
    everyone = np.arange(requests.num_requests)
    prompt = requests.num_prefill_tokens
    _require(
        (cached >= 0) & (cached <= prompt),
        everyone,
        lambda i: f"has {prompt[i]} prompt tokens, and {cached[i]} of them cached",
        "Give 0 to `num_prefill_tokens`.",
    )
    number = np.bincount(request, minlength=len(everyone))
    _require(
        (number > 0) != requests.is_null,
        everyone,
        lambda i: f"has {number[i]} chunks" + ", and no tokens" * bool(number[i]),
        "Each request but a null player needs one; a prompt without tokens to read has a "
        "chunk of 0.",
    )
    read = np.bincount(request, tokens, len(everyone)).astype(np.int64)
    _require(
        read == prompt - cached,
        everyone,
        lambda i: (
            f"has {prompt[i] - cached[i]} prompt tokens to read, and its chunks "
            f"hold {read[i]}"
        ),
        "Prompts found in a cache are given by `num_cached_tokens`. A prompt that was "
        "read again after a preemption cannot be told.",
    )
    useful = (tokens > 0) | ((tokens == 0) & (number[request] == 1))
    _require(
        useful, request, lambda k: f"has a chunk of {tokens[k]} tokens", "Leave it out."
    )


def run_table(rows: Rows, requests: Workload, chunks: Chunks, num_iterations: int) -> Runs:
    """The runs in order, checked: each token but the first takes one iteration."""
    request, first, last = _columns("runs", rows, ("request", "first", "last"))
    _require_request(request, requests, "runs")
    order = np.lexsort((first, request))
    request, first, last = request[order], first[order], last[order]
    length = last - first + 1
    _require(
        (length > 0) & (first >= 0) & (last < num_iterations),
        request,
        lambda k: f"decodes from iteration {first[k]} to {last[k]} of {num_iterations}",
        "Iterations count from 0, and the last is included.",
    )
    prompt_read = np.full(requests.num_requests, -1)
    np.maximum.at(prompt_read, chunks.request, chunks.iteration)
    follows = np.concatenate([[False], np.diff(request) == 0])[: len(request)]
    before = np.where(follows, np.roll(last, 1), prompt_read[request])
    _require(
        first > before,
        request,
        lambda k: f"decodes in iteration {first[k]}, and is busy up to {before[k]}",
        "Runs do not overlap, and come after the prompt.",
    )
    needed = np.maximum(requests.num_decode_tokens - 1, 0)
    took = np.bincount(request, length, requests.num_requests).astype(np.int64)
    _require(
        took == needed,
        np.arange(requests.num_requests),
        lambda i: f"has {needed[i] + 1} answer tokens, and decodes in {took[i]} iterations",
        "The first token comes with the prompt, each later one takes one iteration.",
    )
    context = requests.num_prefill_tokens[request] + 1 + _sums_before(length, request)
    return Runs(request, first, length, context)


def _columns(name: str, rows: Rows, columns: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    shape = np.asarray(rows[0]).shape[:1]
    return tuple(
        whole_numbers(f"{name}.{column}", values, shape)
        for column, values in zip(columns, rows, strict=True)
    )


def _require_request(request: np.ndarray, requests: Workload, name: str) -> None:
    bad = np.flatnonzero((request < 0) | (request >= requests.num_requests))
    if len(bad):
        raise WorkloadError(
            f"`{name}` names request {request[bad[0]]}; there are {requests.num_requests}.",
            hint="Requests count from 0.",
        )


def _require(good: np.ndarray, request: np.ndarray, problem, hint: str) -> None:
    """Raises `WorkloadError` about the first row that is not good."""
    bad = np.flatnonzero(~good)
    if len(bad):
        k = int(bad[0])
        raise WorkloadError(f"request {request[k]} {problem(k)}.", hint=hint)


def _sums_before(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Of each row, the sum over the earlier rows of its group; groups are in order."""
    before = np.cumsum(values) - values
    starts = np.concatenate([[True], np.diff(group) != 0])[: len(group)]
    place = np.maximum.accumulate(np.where(starts, np.arange(len(group)), 0))
    return before - before[place]
