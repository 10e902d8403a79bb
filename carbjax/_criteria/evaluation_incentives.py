"""Reduction rewards and padding as parts of an evaluation."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from carbjax._criteria.evaluation_bench import Bench
from carbjax._criteria.evaluation_methods import Effort, Judged
from carbjax._criteria.evaluation_rows import Row, refused
from carbjax._criteria.evaluation_store import Part
from carbjax._criteria.guard import Refusal, reason_of
from carbjax._criteria.incentives import reduction_reward
from carbjax._criteria.monotonicity import TOLERANCE, Padding, paddings, random_workloads

_CRITERION = "incentives"
_QUANTITIES = {"prompt": "R_prompt", "decode": "R_decode"}
# Of one task: where an attribution takes thousands of values of v or seconds of a
# processor, fewer requests are cut, and in the end of fewer workloads.
_MOST_EVALUATIONS = 30_000
_MOST_CPU_S = 4.0
_FEWEST_ATTRIBUTIONS = 3  # as it is, a shorter prompt and a shorter answer
_PADDED_WORKLOADS, _PADDED_REQUESTS = 4, 4
_PADDING = (1, 64)  # tokens


def judge_incentives(bench: Bench, method: Judged, index: int, effort: Effort) -> Part:
    """What halving the prompt or the answer of each request saves its player."""
    workload = bench.cuts[index].workload
    if not _affords(bench, index, effort):
        return Part(rows=tuple(_left_out(method.name, index, effort)))
    asked = _asked(workload.num_requests, effort, (bench.settings.seed, index))
    known = bench.charged(method, index)
    try:
        found = reduction_reward(
            workload,
            bench.system,
            method.given,
            requests=asked,
            key=bench.key,
            known=None if isinstance(known, Refusal) else known,
        )
    except Exception as error:
        return Part(rows=(refused(_CRITERION, method.name, reason_of(error), index),))
    reason = None
    if len(asked) < workload.num_requests:
        reason = (
            f"{len(asked)} of {workload.num_requests} requests: an attribution takes "
            f"{effort.num_evaluations} values of v and {effort.cpu_s:.2g} s"
        )
    tokens = {
        "prompt": workload.num_prefill_tokens[asked],
        "decode": workload.num_decode_tokens[asked],
    }
    rows, rewards = [], []
    for part, quantity in _QUANTITIES.items():
        values = np.asarray(getattr(found, part), float)
        known = np.isfinite(values)
        median = float(np.median(values[known])) if known.any() else None
        row = Row(_CRITERION, method.name, quantity, median, workload=index)
        rows.append(row._replace(num_values=int(known.sum()), reason=reason))
        rewards += [
            {"method": method.name, "part": part, "tokens": int(t), "reward": float(r)}
            for t, r in zip(tokens[part][known], values[known], strict=True)
        ]
    return Part(rows=tuple(rows), rewards=tuple(rewards), flags=found.flags)


def judge_padding(bench: Bench, method: Judged) -> Part:
    """How often a request pays less once tokens are added, and how many mean shares less.

    Relative to a request's own bill the fall would say little where that is near 0.
    """
    falls: list[Padding] = []
    refusals: dict[str, None] = {}
    try:
        for workload in random_workloads(bench.key, _PADDED_WORKLOADS, _PADDED_REQUESTS):
            cases = paddings(workload, bench.system, method.given, _PADDING, refusals)
            falls += [case for case in cases if np.isfinite(case.fall)]
    except Exception as error:
        return Part(rows=(refused(_CRITERION, method.name, reason_of(error)),))
    if not falls:
        reason = next(iter(refusals), "no request pays anything")
        row = Row(_CRITERION, method.name, "padding_rewarded", None, reason=reason)
        return Part(rows=(row._replace(status="not_applicable"),))
    numbers = {
        "padding_rewarded": float(np.mean([case.fall > TOLERANCE for case in falls])),
        "padding_fall": max(0.0, *(case.fall_of_mean for case in falls)),
    }
    return Part(
        rows=tuple(
            Row(_CRITERION, method.name, name, value, num_values=len(falls))
            for name, value in numbers.items()
        ),
        flags=tuple(refusals),
    )


def _asked(
    num_requests: int, effort: Effort, seed: tuple[int, int]
) -> Int[np.ndarray, " asked"]:
    """The requests to cut: all, or some at random where each costs much."""
    by_values = _MOST_EVALUATIONS // max(effort.num_evaluations or 0, 1)
    by_time = _MOST_CPU_S / max(effort.cpu_s or 0.0, 1e-3)
    attributions = min(by_values, int(by_time))
    number = min(max((attributions - 1) // 2, 1), num_requests)
    chosen = np.random.default_rng(seed).permutation(num_requests)[:number]
    return np.sort(chosen)


def _affords(bench: Bench, index: int, effort: Effort) -> bool:
    """Whether the workload is one that is judged, however long an attribution takes.

    Of one that takes too long even for a single request only every second round of the
    loads is judged, or every third, and so on.
    """
    rounds = math.ceil(_FEWEST_ATTRIBUTIONS * (effort.cpu_s or 0.0) / _MOST_CPU_S)
    loads = len({cut.load for cut in bench.cuts})
    return index // loads % max(rounds, 1) == 0


def _left_out(name: str, index: int, effort: Effort) -> Iterator[Row]:
    reason = f"left out, for an attribution takes {effort.cpu_s:.2g} s"
    for quantity in _QUANTITIES.values():
        row = Row(_CRITERION, name, quantity, None, workload=index, reason=reason)
        yield row._replace(status="not_applicable")
