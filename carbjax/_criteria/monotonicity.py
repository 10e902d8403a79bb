"""Whether a method ever rewards padding: more tokens, and a smaller bill."""

import dataclasses
from collections.abc import Sequence

import jax.random as jr
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from carbjax._attribution.methods import Method
from carbjax._criteria.guard import name_of
from carbjax._criteria.in_window import VariantShares, attribute_variants
from carbjax._criteria.incentives import PARTS
from carbjax._errors import InputError
from carbjax._progress import report
from carbjax._serving.system import System
from carbjax._workload import Workload

PADDING = (1, 8, 64, 512)  # tokens
TOLERANCE = 1e-6  # relative to the share; events of the engine agree to 2.5e-7
_GAPS_S = (0.0, 0.02, 0.2, 1.0)
_MOST_PROMPT, _MOST_ANSWER = 4000, 300


@dataclasses.dataclass(frozen=True)
class Padding:
    """What a request pays before and after `added` tokens are added to one of its parts.

    `mean_g`: the mean share of the workload before, gCO2e.
    """

    workload: Workload
    request: int
    part: str
    added: int
    before_g: float
    after_g: float
    mean_g: float

    @property
    def fall(self) -> float:
        """How much less it pays, relative to what it paid.

        More than 1 where it is then paid for coming: v need not grow with the coalition,
        and a request whose share is near 0 can get below it.
        """
        return 1 - self.after_g / self.before_g

    @property
    def fall_of_mean(self) -> float:
        """How much less it pays, in mean shares."""
        return (self.before_g - self.after_g) / self.mean_g


@dataclasses.dataclass(frozen=True)
class MonotonicityReport:
    """How often padding paid off, and the worst case, as found and shrunk.

    `worst` is the largest fall in mean shares; `smallest` the least workload found to which
    it shrinks, with at least half its relative fall. Both None where no padding paid off.
    """

    method: str
    num_checked: int
    num_falls: int
    worst: Padding | None
    smallest: Padding | None
    flags: tuple[str, ...] = ()

    @property
    def rewards_padding(self) -> bool:
        return self.worst is not None


def check_monotonicity(
    method: str | Method = "streaming",
    system: System | None = None,
    *,
    workloads: Sequence[Workload] | None = None,
    num_workloads: int = 32,
    num_requests: int = 5,
    padding: Sequence[int] = PADDING,
    tolerance: float = TOLERANCE,
    key: PRNGKeyArray | None = None,
) -> MonotonicityReport:
    """Whether adding tokens to a prompt or an answer ever lowers the sender's share.

    - `workloads`: where to look; by default `num_workloads` random ones of
      `num_requests` requests, drawn from `key`. Each request is a player.
    - `padding`: tokens that are added, one request and part at a time.
    - `tolerance`: relative fall of a share that counts as none.

    Each padded workload is served and attributed anew, in the window of the unpadded one.
    A verdict of no is one of these workloads only. Raises `InputError`.
    """
    if not padding or min(padding) < 1:
        raise InputError("`padding` holds no tokens.", hint="Give such as (1, 64).")
    system = System.load() if system is None else system
    key = jr.key(0) if key is None else key
    if workloads is None:
        workloads = random_workloads(key, num_workloads, num_requests)
    worst: Padding | None = None
    checked = falls = 0
    flags: dict[str, None] = {}
    for done, workload in enumerate(workloads, start=1):
        found = paddings(workload, system, method, padding, flags)
        checked += len(found)
        paid = [case for case in found if case.fall > tolerance]
        falls += len(paid)
        for case in paid:
            worst = max(case, worst or case, key=lambda each: each.fall_of_mean)
        report("workloads", done, len(workloads))
    smallest = None if worst is None else shrink(worst, system, method)
    return MonotonicityReport(
        name_of(method), checked, falls, worst, smallest, tuple(flags)
    )


def random_workloads(
    key: PRNGKeyArray, num_workloads: int, num_requests: int
) -> list[Workload]:
    """Bursts and streams; lengths spread evenly over their logarithms."""
    seed = np.asarray(jr.key_data(key)).tolist()
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(num_workloads):
        gaps = rng.exponential(rng.choice(_GAPS_S), num_requests)
        prompt, answer = (
            np.exp(rng.uniform(0, np.log(most), num_requests)).astype(np.int64)
            for most in (_MOST_PROMPT, _MOST_ANSWER)
        )
        made.append(Workload(np.cumsum(gaps), prompt, answer))
    return made


def paddings(
    workload: Workload,
    system: System,
    method: str | Method,
    padding: Sequence[int],
    flags: dict[str, None],
) -> list[Padding]:
    """Every padding of every request that asks for something and pays for it."""
    workload = workload.by_request()
    who = np.flatnonzero(~workload.is_null).tolist()
    cases = [(i, part, added) for i in who for part in PARTS for added in padding]
    rows = [_padded(workload, *case) for case in cases]
    found = _attribute(workload, rows, system, method)
    flags |= dict.fromkeys(reason for reason in found.refusals if reason is not None)
    before, *after = found.shares
    mean_g = float(before.mean())
    return [
        Padding(workload, i, part, added, float(before[i]), float(row[i]), mean_g)
        for (i, part, added), row in zip(cases, after, strict=True)
        if before[i] > 0
    ]


def shrink(case: Padding, system: System, method: str | Method) -> Padding:
    """A smaller workload in which the same padding still pays off half as much.

    Greedy: requests are emptied, tokens and padding halved, and arrivals moved together,
    as long as that leaves the fall.
    """
    least = case.fall / 2
    while True:
        for smaller in _smaller(case):
            tried = _try(smaller, system, method)
            if tried is not None and tried.fall >= least:
                case = tried
                break
        else:
            return _without_null(case, system, method)


Counts = Int[np.ndarray, " requests"]
Row = tuple[Counts, Counts]


def _padded(workload: Workload, request: int, part: str, added: int) -> Row:
    prefill = workload.num_prefill_tokens.copy()
    decode = workload.num_decode_tokens.copy()
    (prefill if part == "prompt" else decode)[request] += added
    return prefill, decode


def _attribute(
    workload: Workload, rows: list[Row], system: System, method: str | Method
) -> VariantShares:
    """The workload as it is, then each row."""
    prefill, decode = zip(
        (workload.num_prefill_tokens, workload.num_decode_tokens), *rows, strict=True
    )
    return attribute_variants(workload, system, method, np.array(prefill), np.array(decode))


def _try(case: Padding, system: System, method: str | Method) -> Padding | None:
    """The case measured on its workload; None where its request pays nothing."""
    row = _padded(case.workload, case.request, case.part, case.added)
    before, after = _attribute(case.workload, [row], system, method).shares
    if not before[case.request] > 0:
        return None
    return dataclasses.replace(
        case,
        before_g=float(before[case.request]),
        after_g=float(after[case.request]),
        mean_g=float(before.mean()),
    )


def _smaller(case: Padding):
    """Cases one step smaller, the largest step first."""
    workload = case.workload
    prefill, decode = workload.num_prefill_tokens, workload.num_decode_tokens
    for i in np.flatnonzero(~workload.is_null):
        if i != case.request:
            there = np.arange(workload.num_requests) != i
            yield _changed(case, prefill * there, decode * there)
    if case.added > 1:
        yield dataclasses.replace(case, added=case.added // 2)
    for i in range(workload.num_requests):
        for counts in (prefill, decode):
            if counts[i] > 1:
                halved = counts.copy()
                halved[i] //= 2
                pair = (halved, decode) if counts is prefill else (prefill, halved)
                yield _changed(case, *pair)
    if np.ptp(workload.arrival_s) > 0:
        together = np.zeros(workload.num_requests)
        yield dataclasses.replace(case, workload=_moved(workload, together))


def _changed(case: Padding, prefill: Counts, decode: Counts) -> Padding:
    changed = case.workload.with_tokens(prefill, decode)
    return dataclasses.replace(case, workload=changed)


def _moved(workload: Workload, arrival_s: Float[np.ndarray, " requests"]) -> Workload:
    return Workload(
        arrival_s,
        workload.num_prefill_tokens,
        workload.num_decode_tokens,
        epoch=workload.epoch,
    )


def _without_null(case: Padding, system: System, method: str | Method) -> Padding:
    """The same case with the emptied requests left out, measured again."""
    kept = ~case.workload.is_null
    smaller = dataclasses.replace(
        case,
        workload=case.workload.select(kept),
        request=int(np.count_nonzero(kept[: case.request])),
    )
    tried = _try(smaller, system, method)
    return case if tried is None or tried.fall < case.fall / 2 else tried
