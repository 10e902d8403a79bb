"""Serving, one iteration at a time: the system function S, slow and literal.

At each boundary the policy lists the work of the next iteration; the iteration is
run, and whoever is done leaves. Nothing is skipped, merged or rounded.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .features import CostFn, Features, decode_features, prefill_features, total

Policy = Literal["prefill_first", "chunked_prefill", "static"]
POLICIES: tuple[Policy, ...] = ("prefill_first", "chunked_prefill", "static")


class Request(NamedTuple):
    arrival_s: float
    num_prefill_tokens: int
    num_decode_tokens: int

    @property
    def is_null(self) -> bool:
        return self.num_prefill_tokens == 0 and self.num_decode_tokens == 0

    @property
    def reserved_tokens(self) -> int:
        return self.num_prefill_tokens + self.num_decode_tokens


class Caps(NamedTuple):
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_capacity_tokens: float = math.inf


class Participant(NamedTuple):
    request: int
    phase: Literal["prefill", "decode"]
    features: Features


class Iteration(NamedTuple):
    start_s: float
    latency_s: float
    energy_j: float
    features: Features
    participants: tuple[Participant, ...]

    @property
    def end_s(self) -> float:
        return self.start_s + self.latency_s


class Result(NamedTuple):
    """A served workload; times are NaN where there is nothing to serve."""

    begin_s: float
    """Arrival of the first request that is not null."""
    end_s: float
    busy_s: float
    energy_j: float
    num_iterations: int
    ttft_s: list[float]
    """From arrival to the end of the request's prefill."""
    finish_s: list[float]
    start_s: list[float]
    """Start of the first iteration in which the request took part."""
    iterations: list[Iteration]


@dataclass(eq=False)
class Live:
    """A request that was admitted and has not finished."""

    index: int
    request: Request
    cached: int = 0
    prompt_done: bool = False
    emitted: int = 0

    @property
    def prompt_left(self) -> int:
        return self.request.num_prefill_tokens - self.cached

    @property
    def is_finished(self) -> bool:
        return self.prompt_done and self.emitted >= self.request.num_decode_tokens


class Work(NamedTuple):
    """One request's part in the next iteration: a chunk of prompt, or a decode (None)."""

    live: Live
    chunk: int | None


def simulate(
    requests: Sequence[Request], policy: Policy, caps: Caps, cost_fn: CostFn
) -> Result:
    """What happens when these requests share the backend.

    Raises `ValueError` for a cap below 1 and for a request beyond the KV capacity.
    """
    _check(requests, caps)
    nan = [math.nan] * len(requests)
    result = Result(math.nan, math.nan, 0.0, 0.0, 0, nan, list(nan), list(nan), [])
    waiting = [i for i, request in enumerate(requests) if not request.is_null]
    waiting.sort(key=lambda i: (requests[i].arrival_s, i))
    if not waiting:
        return result
    running: list[Live] = []
    begin = now = requests[waiting[0]].arrival_s
    while waiting or running:
        visible = [i for i in waiting if requests[i].arrival_s <= now]
        work = _PLANS[policy](visible, requests, running, caps)
        if not work:
            next_arrival = requests[waiting[0]].arrival_s
            assert not running and next_arrival > now, "somebody could have been served"
            now = next_arrival
            continue
        joined = [w.live for w in work if w.live not in running]
        running += joined
        waiting = waiting[len(joined) :]
        iteration = _run(work, now, cost_fn)
        now = iteration.end_s
        _record(result, iteration, work, requests)
        running = [live for live in running if not live.is_finished]
    return result._replace(
        begin_s=begin,
        end_s=now,
        busy_s=sum(it.latency_s for it in result.iterations),
        energy_j=sum(it.energy_j for it in result.iterations),
        num_iterations=len(result.iterations),
    )


def _check(requests: Sequence[Request], caps: Caps) -> None:
    for name, cap in zip(caps._fields, caps, strict=True):
        if cap < 1:
            raise ValueError(f"{name} is {cap}")
    for i, request in enumerate(requests):
        if request.reserved_tokens > caps.kv_capacity_tokens:
            raise ValueError(f"request {i} reserves {request.reserved_tokens} tokens")


def _has_room(request: Request, running: Sequence[Live], caps: Caps) -> bool:
    """Whether a slot is free and the KV reservation fits beside all running."""
    reserved = sum(live.request.reserved_tokens for live in running)
    fits = reserved + request.reserved_tokens <= caps.kv_capacity_tokens
    return len(running) < caps.max_num_seqs and fits


def _admit_prompts(
    visible: Sequence[int], requests: Sequence[Request], running: list[Live], caps: Caps
) -> list[Work]:
    """Whole prompts, in order, until one does not fit: it blocks all behind it."""
    admitted: list[Work] = []
    tokens = 0
    for i in visible:
        request = requests[i]
        tokens += request.num_prefill_tokens
        over_budget = tokens > caps.max_num_batched_tokens and len(admitted) > 0
        live = [*running, *(work.live for work in admitted)]
        if over_budget or not _has_room(request, live, caps):
            break
        admitted.append(Work(Live(i, request), request.num_prefill_tokens))
    return admitted


def _plan_prefill_first(visible, requests, running, caps) -> list[Work]:
    admitted = _admit_prompts(visible, requests, running, caps)
    return admitted or [Work(live, None) for live in running]


def _plan_static(visible, requests, running, caps) -> list[Work]:
    if running:
        return [Work(live, None) for live in running]
    return _admit_prompts(visible, requests, running, caps)


def _plan_chunked(visible, requests, running, caps) -> list[Work]:
    work = [Work(live, None) for live in running if live.prompt_done]
    left = caps.max_num_batched_tokens - len(work)
    for live in running:
        if not live.prompt_done and left >= 1:
            chunk = min(left, live.prompt_left)
            work.append(Work(live, chunk))
            left -= chunk
    present = list(running)
    for i in visible:
        if left < 1 or not _has_room(requests[i], present, caps):
            break
        live = Live(i, requests[i])
        chunk = min(left, live.prompt_left)
        work.append(Work(live, chunk))
        present.append(live)
        # An empty prompt counts 1 against the budget, though it brings no token.
        left -= max(chunk, 1)
    return work


_PLANS: dict[Policy, Callable[..., list[Work]]] = {
    "prefill_first": _plan_prefill_first,
    "chunked_prefill": _plan_chunked,
    "static": _plan_static,
}


def _participant(work: Work) -> Participant:
    live, chunk = work
    if chunk is None:
        context = live.request.num_prefill_tokens + live.emitted
        return Participant(live.index, "decode", decode_features(context))
    ends = chunk == live.prompt_left
    return Participant(live.index, "prefill", prefill_features(chunk, live.cached, ends))


def _run(work: Sequence[Work], now: float, cost_fn: CostFn) -> Iteration:
    """The iteration that does this work, and its effect on the requests."""
    participants = tuple(_participant(w) for w in work)
    batch = total(p.features for p in participants)
    latency, energy = cost_fn(batch)
    for live, chunk in work:
        if chunk is None:
            live.emitted += 1
            continue
        live.cached += chunk
        if live.prompt_left == 0:
            live.prompt_done = True
            live.emitted = min(1, live.request.num_decode_tokens)
    return Iteration(now, float(latency), float(energy), batch, participants)


def _record(
    result: Result, iteration: Iteration, work: Sequence[Work], requests: Sequence[Request]
) -> None:
    result.iterations.append(iteration)
    for live, chunk in work:
        i = live.index
        if math.isnan(result.start_s[i]):
            result.start_s[i] = iteration.start_s
        if chunk is not None and live.prompt_done:
            result.ttft_s[i] = iteration.end_s - requests[i].arrival_s
        if live.is_finished:
            result.finish_s[i] = iteration.end_s
