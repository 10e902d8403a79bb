"""The tasks of an evaluation: one method on one criterion, by workload where it matters."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from carbjax._attribution.attribution import Attribution
from carbjax._criteria.evaluation_axioms import judge_axioms
from carbjax._criteria.evaluation_bench import Bench
from carbjax._criteria.evaluation_incentives import judge_incentives, judge_padding
from carbjax._criteria.evaluation_methods import Effort, Judged
from carbjax._criteria.evaluation_rows import Row, refused
from carbjax._criteria.evaluation_samples import judge_samples
from carbjax._criteria.evaluation_scaling import judge_axis
from carbjax._criteria.evaluation_store import Part
from carbjax._criteria.fairness import shapley_distance
from carbjax._criteria.guard import Refusal, differing
from carbjax._criteria.scaling_workloads import AXES

GUARD = "guard"
_DISTANCES = {
    "relative": "",
    "absolute_g": "gCO2e",
    "max_g": "gCO2e",
    "max_relative": "",
    "kendall_tau": "",
    "top_overlap": "",
    "noise": "",
}


class Task(NamedTuple):
    """`piece`: the workload's index, an axis or another piece of the criterion."""

    criterion: str
    method: str
    piece: int | str | None = None

    def __str__(self) -> str:
        last = () if self.piece is None else (str(self.piece),)
        return "-".join((self.criterion, self.method, *last))


def tasks_of(criteria: Sequence[str], methods: Sequence[str], count: int) -> list[Task]:
    """All tasks but those of the guard, by criterion, then method, then piece."""
    pieces: Mapping[str, tuple[int | str | None, ...]] = {
        "fairness": tuple(range(count)),
        "axioms": (None,),
        "scalability": AXES,
        "sample_efficiency": tuple(range(count)),
        "incentives": (*range(count), "padding"),
    }
    return [
        Task(criterion, method, piece)
        for criterion in criteria
        for method in methods
        for piece in pieces[criterion]
    ]


def run_task(task: Task, bench: Bench, effort: Effort) -> Part:
    """What the task finds; `effort` is what an attribution takes, as far as it is known."""
    method = bench.methods[task.method]
    if task.criterion == GUARD:
        return guard(bench, method)
    if task.criterion == "axioms":
        return judge_axioms(bench, method)
    if isinstance(task.piece, int):
        judge = _BY_WORKLOAD[task.criterion]
        return judge(bench, method, task.piece, effort)
    if task.criterion == "scalability":
        return judge_axis(bench, method, str(task.piece), effort)
    return judge_padding(bench, method)


def guard(bench: Bench, method: Judged) -> Part:
    """Whether the method answers well and twice the same, on a workload that it takes.

    A method may refuse some workloads; one that refuses all cannot be judged.
    """
    found, index = None, 0
    for index in range(len(bench.cuts)):
        found = bench.charged(method, index)
        if not (isinstance(found, Refusal) and found.sin == "raises"):
            break
    start = time.process_time()
    again = found if isinstance(found, Refusal) else bench.charge(method, index)
    cpu_s = time.process_time() - start
    if isinstance(found, Attribution) and isinstance(again, Attribution):
        again = differing(method.name, found, again) or found
    if not isinstance(again, Attribution):
        reason = "no workload" if again is None else again.reason
        return Part(rows=(refused(GUARD, method.name, reason),))
    counted, number = bench.count(method, index)
    known = None if isinstance(counted, Refusal) else number
    return Part(num_evaluations=known, cpu_s=_rounded(cpu_s), flags=again.flags)


def _rounded(seconds: float) -> float:
    """The next power of two: what hangs on it should hardly ever differ between runs."""
    return 2.0 ** math.ceil(math.log2(max(seconds, 1e-3)))


def _judge_fairness(bench: Bench, method: Judged, index: int, _: Effort) -> Part:
    found = bench.charged(method, index)
    if isinstance(found, Refusal):
        return Part(rows=(refused("fairness", method.name, found.reason, index),))
    distance = shapley_distance(found, bench.case(index).truth)
    rows = [
        Row("fairness", method.name, name, getattr(distance, name), unit, workload=index)
        for name, unit in _DISTANCES.items()
    ]
    return Part(rows=tuple(rows))


_ByWorkload = Callable[[Bench, Judged, int, Effort], Part]
_BY_WORKLOAD: Mapping[str, _ByWorkload] = {
    "fairness": _judge_fairness,
    "sample_efficiency": judge_samples,
    "incentives": judge_incentives,
}
