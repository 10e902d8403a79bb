"""Carries the tasks of an evaluation out, or finds what they found before."""

import datetime as dt
import time
from collections.abc import Sequence
from typing import Any

from carbjax._criteria import evaluation_digest as digest
from carbjax._criteria.evaluation_bench import Bench
from carbjax._criteria.evaluation_limit import TimeLimit, time_limit
from carbjax._criteria.evaluation_methods import Effort
from carbjax._criteria.evaluation_rows import refused
from carbjax._criteria.evaluation_store import FORMAT, Part, Store
from carbjax._criteria.evaluation_tasks import GUARD, Task, run_task, tasks_of
from carbjax._criteria.memory import Programs
from carbjax._progress import listening, report

Found = list[tuple[Task, Part]]


class Runner:
    """Runs each task once, under its time limit, and keeps what it found."""

    def __init__(self, bench: Bench, store: Store):
        self._bench, self._store = bench, store
        self._common = {
            "format": FORMAT,
            "versions": digest.versions(),
            "code": digest.of_code(),
            "device": digest.device(),
            "system": digest.of_system(bench.system),
            "seed": bench.settings.seed,
        }
        self._workloads = [digest.of_workload(cut.workload) for cut in bench.cuts]
        self._too_slow: set[tuple[str, str]] = set()
        self._programs = Programs()

    def run_method(self, name: str, criteria: Sequence[str]) -> None:
        """Nothing; the store holds what the guard and every task of the method found."""
        found = self._run(Task(GUARD, name), Effort())
        if found.rows:
            return
        effort = Effort(found.num_evaluations, found.cpu_s)
        tasks = tasks_of(criteria, [name], len(self._workloads))
        for done, task in enumerate(tasks):
            self._run(task, effort)
            self._programs.forget_if_many()
            report(f"{task.criterion} {name}", done + 1, len(tasks))

    def run_all(self, criteria: Sequence[str]) -> Found:
        """Every task and what it found, the guard's first."""
        methods = list(self._bench.methods)
        total = len(methods) + len(tasks_of(criteria, methods, len(self._workloads)))
        found: Found = []
        for name in methods:
            found.append((task := Task(GUARD, name), self._run(task, Effort())))
            report(f"{GUARD} {name}", len(found), total)
        efforts = {
            t.method: Effort(p.num_evaluations, p.cpu_s) for t, p in found if not p.rows
        }
        tasks = tasks_of(criteria, list(efforts), len(self._workloads))
        total = len(methods) + len(tasks)
        for task in tasks:
            found.append((task, self._run(task, efforts[task.method])))
            self._programs.forget_if_many()
            report(f"{task.criterion} {task.method}", len(found), total)
        return found

    def _run(self, task: Task, effort: Effort) -> Part:
        fingerprint = self._fingerprint(task, effort)
        part = self._store.read(str(task), fingerprint)
        if part is None or self._may_end_now(part):
            if (task.criterion, task.method) in self._too_slow:
                return _not_tried(task)
            part = self._run_now(task, effort)
            self._store.write(str(task), fingerprint, part)
        if part.timed_out_s is not None:
            self._too_slow.add((task.criterion, task.method))
        return part

    def _run_now(self, task: Task, effort: Effort) -> Part:
        limit_s = self._bench.settings.limit_s
        start = time.perf_counter()
        try:
            with listening(_nobody), time_limit(limit_s):
                part = run_task(task, self._bench, effort)
        except TimeLimit:
            workload = task.piece if isinstance(task.piece, int) else None
            reason = f"took longer than {limit_s:g} s"
            row = refused(task.criterion, task.method, reason, workload)
            part = Part(rows=(row,), timed_out_s=limit_s)
        return part.stamped(
            time.perf_counter() - start, dt.datetime.now(dt.UTC).isoformat("T", "seconds")
        )

    def _may_end_now(self, part: Part) -> bool:
        """Whether the part met a time limit that was lower than it is now."""
        limit_s = self._bench.settings.limit_s
        met = part.timed_out_s
        return met is not None and (limit_s is None or limit_s > met)

    def _fingerprint(self, task: Task, effort: Effort) -> str:
        settings, workload = self._bench.settings, self._workloads
        depends: dict[str, Any] = {
            **self._common,
            "task": list(task),
            "method": self._bench.methods[task.method].digest,
        }
        if task.criterion == GUARD:
            depends["workloads"] = workload
        if isinstance(task.piece, int):
            depends["workload"] = workload[task.piece]
        if task.criterion in ("incentives", "scalability"):
            depends["effort"] = list(effort)
        if task.criterion == "sample_efficiency":
            depends["samples"] = [
                list(settings.eps),
                list(settings.estimators),
                settings.alpha,
                settings.repeats,
            ]
        return digest.of_json(depends)


def _nobody(what: str, done: int, total: int) -> None:
    """Parts of a task are not told: the bar counts tasks."""


def _not_tried(task: Task) -> Part:
    workload = task.piece if isinstance(task.piece, int) else None
    reason = "not tried, for an earlier task of the method took too long"
    return Part(rows=(refused(task.criterion, task.method, reason, workload),))
