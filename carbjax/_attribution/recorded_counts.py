"""Chunks and runs of a schedule, from how many requests took part in each iteration.

vLLM serves prompts first come, first served, the last of a batch in part, and all
running requests decode, or none. Under that rule the counts of an iteration leave no
choice; where a count does not come out, the rule was another one.
"""

import heapq

import numpy as np

from carbjax._errors import TraceError
from carbjax._traces.iteration_log import IterationLog
from carbjax._traces.vllm_log import IterationCounts
from carbjax._workload import Workload

Columns = tuple[np.ndarray, np.ndarray, np.ndarray]
_HINT = (
    "Counts tell who took part if prompts are read first come, first served, without "
    "prefix cache, preemption or speculative decoding. Else log the scheduled tokens "
    "(docs/traces.md)."
)


def rows_of_counts(
    log: IterationLog, counts: IterationCounts, workload: Workload
) -> tuple[Columns, Columns]:
    """Prompt chunks and runs of decodes; `TraceError` at the first count that differs."""
    served = np.flatnonzero(~workload.is_null)
    order = served[np.argsort(workload.arrival_s[served], kind="stable")]
    queue = _Queue(order.tolist(), workload.num_prefill_tokens)
    chunks: list[tuple[int, int, int]] = []
    decoding: list[int] = []  # a heap of the last decode of each, counted in decodes
    decode_iterations: list[int] = []
    spans: list[tuple[int, int, int]] = []
    for j, row in enumerate(zip(*_columns(counts), strict=True)):
        contexts, context_tokens, generations, generation_tokens = row
        _require_decodes(log, j, generations, generation_tokens, len(decoding))
        if generations:
            decode_iterations.append(j)
        done = len(decode_iterations)
        while decoding and decoding[0] <= done:
            heapq.heappop(decoding)
        for request, tokens, ends in queue.take(log, j, contexts, context_tokens):
            chunks.append((j, request, tokens))
            answers = int(workload.num_decode_tokens[request]) - 1
            if ends and answers > 0:
                heapq.heappush(decoding, done + answers)
                spans.append((request, done, done + answers))
    queue.require_empty(log)
    if decoding:
        raise TraceError(
            f"the log ends, and {len(decoding)} requests still have answers to give.",
            file=log.file,
            hint="Is it cut short? " + _HINT,
        )
    return _transposed(chunks), _runs(spans, np.array(decode_iterations, np.int64))


class _Queue:
    """Prompts in order of arrival, the first perhaps read in part."""

    def __init__(self, order: list[int], num_prefill_tokens: np.ndarray):
        self._order, self._tokens = order, num_prefill_tokens
        self._next, self._read = 0, 0

    def take(self, log: IterationLog, j: int, number: int, tokens: int):
        """The first `number` prompts, of which the last may be read in part."""
        for place in range(number):
            if self._next == len(self._order):
                raise log.fail(
                    j, f"{number} prompts are read, and {place} requests remain.", _HINT
                )
            request = self._order[self._next]
            left = int(self._tokens[request]) - self._read
            is_last = place == number - 1
            taken = tokens if is_last else left
            if taken > left or taken <= 0 or tokens < taken:
                raise log.fail(
                    j, f"{tokens} tokens are read of a prompt that has {left} left.", _HINT
                )
            tokens -= taken
            ends = taken == left
            self._next, self._read = (
                (self._next + 1, 0) if ends else (self._next, self._read + taken)
            )
            yield request, taken, ends

    def require_empty(self, log: IterationLog) -> None:
        left = len(self._order) - self._next
        if left:
            raise TraceError(
                f"the log ends before the prompts of {left} requests.",
                file=log.file,
                hint="Is it cut short? " + _HINT,
            )


def _columns(counts: IterationCounts) -> tuple[list[int], ...]:
    columns = (
        counts.context_requests,
        counts.context_tokens,
        counts.generation_requests,
        counts.generation_tokens,
    )
    return tuple(column.tolist() for column in columns)


def _require_decodes(log, j: int, requests: int, tokens: int, running: int) -> None:
    if requests not in (0, running):
        raise log.fail(j, f"{requests} requests decode, and {running} run.", _HINT)
    if tokens != requests:
        raise log.fail(
            j, f"{requests} requests decode {tokens} tokens in one iteration.", _HINT
        )


def _transposed(rows: list[tuple[int, int, int]]) -> Columns:
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    return columns[0], columns[1], columns[2]


def _runs(spans: list[tuple[int, int, int]], decodes: np.ndarray) -> Columns:
    """Spans of decodes as runs of iterations; where nobody decodes, a run ends."""
    breaks = np.flatnonzero(np.diff(decodes) != 1) + 1
    rows = []
    for request, first, after in spans:
        inner = breaks[np.searchsorted(breaks, first, "right") :]
        edges = [first, *inner[: np.searchsorted(inner, after)].tolist(), after]
        rows += [
            (request, int(decodes[a]), int(decodes[b - 1]))
            for a, b in zip(edges[:-1], edges[1:], strict=True)
        ]
    return _transposed(rows)
