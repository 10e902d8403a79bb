"""The whole judgement: methods against criteria, over workloads, with uncertainty."""

import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from rich.table import Table

from carbjax._attribution.methods import Method
from carbjax._criteria import evaluation_digest as digest
from carbjax._criteria.cuts import Cut
from carbjax._criteria.evaluation_bench import Bench, Settings
from carbjax._criteria.evaluation_files import write_results
from carbjax._criteria.evaluation_methods import judged_methods
from carbjax._criteria.evaluation_over import curves, over_workloads
from carbjax._criteria.evaluation_rows import (
    CRITERIA,
    CURVES,
    POINTS,
    ROWS,
    Row,
    refused,
    to_table,
)
from carbjax._criteria.evaluation_run import Found, Runner
from carbjax._criteria.evaluation_samples import SAMPLED, eps_label, estimator_label
from carbjax._criteria.evaluation_store import FORMAT, Store
from carbjax._criteria.evaluation_summary import screen, summarise
from carbjax._criteria.evaluation_tasks import GUARD
from carbjax._criteria.evaluation_workers import run_together
from carbjax._errors import InputError
from carbjax._estimators.registry import find_estimator
from carbjax._serving.system import System
from carbjax._workload import Workload


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What the criteria say of the methods.

    - `rows`: one number a row (docs/evaluation.md), of single workloads and over all.
    - `summary`: a row a method.
    - `curves`: reward against tokens; `scaling`: measured costs.
    - `examples`: the smallest example of each axiom that a method breaks.
    - `flags`: what a reader must know.
    - `information`: versions, seed, configuration, workloads, methods and times.
    """

    rows: pa.Table
    summary: pa.Table
    curves: pa.Table
    scaling: pa.Table
    examples: tuple[dict[str, Any], ...]
    flags: tuple[str, ...]
    information: Mapping[str, Any]

    @property
    def tables(self) -> dict[str, pa.Table]:
        """All tables by the names of their files."""
        return {
            "results": self.rows,
            "summary": self.summary,
            "curves": self.curves,
            "scaling": self.scaling,
        }

    def table(self) -> Table:
        """The summary for a terminal (`rich`), nearest to the Shapley value first."""
        count, system = len(self.information["workloads"]), self.information["system"]
        return screen(self.summary, f"{count} workloads on {system}")


def evaluate(
    methods: Sequence[str | Method] | None = None,
    *,
    workloads: Sequence[Workload | Cut],
    system: System,
    criteria: Sequence[str] = CRITERIA,
    eps: Sequence[float] = (0.05, 0.01),
    estimators: Sequence[str] = ("auto",),
    alpha: float = 0.1,
    repeats: int = 40,
    level: float = 0.95,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    fresh: bool = False,
    limit_s: float | None = 300.0,
    workers: int = 1,
    sources: Mapping[str, str] | None = None,
    configuration: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Every method by every criterion, over the workloads, with uncertainty.

    - `methods`: names, or callables of the registry's protocol; None: all registered.
    - `workloads`: of at most 16 players each, for their games are tabulated; equal
      numbers of requests share compiled programs. `carbjax.cut_workloads` makes some.
    - `criteria`: of "fairness", "axioms", "scalability", "sample_efficiency" and
      "incentives".
    - `eps`, `alpha`, `repeats`: as of `sample_efficiency`, eps of the mean share.
      `estimators`: those of `estimate_shapley` that stand behind `sampled`.
    - `level`: of bootstrap intervals of medians over workloads.
    - `out`: a folder for results, and for finished tasks, which a later call with the
      same settings takes from there (`fresh`: it does not). None: nothing is written.
    - `limit_s`: seconds of one task; a method that takes longer has a row that says so.
    - `workers`: 1, or how many processes are begun to take a method each at a time, while
      this one waits. Results are the same to rounding. Other people's methods stay here.
    - `sources`, `configuration`: files of methods, and settings, as they are recorded.

    A method that raises, is not deterministic, does not close, or gives a wrong shape or
    NaN gets rows of status "refused" with the reason; the others go on. Raises
    `InputError` for a bad argument, `OutputError` where `out` cannot be written.
    """
    settings = Settings(tuple(eps), tuple(estimators), alpha, repeats, level, seed, limit_s)
    _require(settings, criteria, workloads, workers)
    judged = judged_methods(methods, sources or {})
    bench = Bench(judged, [_as_cut(each) for each in workloads], system, settings)
    folder = None if out is None else pathlib.Path(out)
    parts = _carry_out(bench, criteria, folder, fresh=fresh, workers=workers)
    found = _assemble(parts, bench, criteria, configuration)
    if folder is not None:
        write_results(folder, found.tables, found.examples, found.information)
    return found


def _carry_out(
    bench: Bench,
    criteria: Sequence[str],
    out: pathlib.Path | None,
    *,
    fresh: bool,
    workers: int,
) -> Found:
    """Every task and what it found, kept below `out` if that is given."""
    with contextlib.ExitStack() as at_the_end:
        parts = None if out is None else out / "parts"
        if parts is None and workers > 1:
            parts = pathlib.Path(at_the_end.enter_context(tempfile.TemporaryDirectory()))
        store = Store(parts)
        if fresh:
            store.clear()
        if workers > 1:
            run_together(bench, store, criteria, workers=workers)
        return Runner(bench, store).run_all(criteria)


def _assemble(
    found: Found,
    bench: Bench,
    criteria: Sequence[str],
    configuration: Mapping[str, Any] | None,
) -> Evaluation:
    settings = bench.settings
    sure = {"level": settings.level, "seed": settings.seed}
    rows = [row for _, part in found for row in part.rows if row.criterion != GUARD]
    rows += _refused_by_guard(found, criteria)
    rows += over_workloads(rows, [cut.load for cut in bench.cuts], **sure)
    rewards = [each for _, part in found for each in part.rewards]
    points = [each for _, part in found for each in part.points]
    flags = dict.fromkeys(flag for _, part in found for flag in part.flags)
    reasons = (f"{r.method}: {r.reason}" for r in rows if r.status == "refused")
    flags |= dict.fromkeys(reasons)
    labels = [eps_label(each) for each in settings.eps]
    return Evaluation(
        rows=to_table((row._asdict() for row in rows), ROWS),
        summary=summarise(rows, _names(bench), labels),
        curves=to_table(curves(rewards, **sure), CURVES),
        scaling=to_table(points, POINTS),
        examples=tuple(each for _, part in found for each in part.examples),
        flags=tuple(flags),
        information=_information(found, bench, criteria, tuple(flags), configuration),
    )


def _refused_by_guard(found: Found, criteria: Sequence[str]) -> list[Row]:
    """A row a criterion of each method that was not let in."""
    out = [row for task, part in found if task.criterion == GUARD for row in part.rows]
    return [
        refused(criterion, row.method, row.reason or "")
        for row in out
        for criterion in criteria
    ]


def _names(bench: Bench) -> list[str]:
    """The methods, and the estimators beside the default one behind `sampled`."""
    others = [estimator_label(e) for e in bench.settings.estimators]
    extra = others if SAMPLED in bench.methods else []
    return list(dict.fromkeys((*bench.methods, *extra)))


def _information(
    found: Found,
    bench: Bench,
    criteria: Sequence[str],
    flags: Sequence[str],
    configuration: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """All that another person needs to make the same numbers again."""
    settings = bench.settings
    seconds: dict[str, float] = {}
    for task, part in found:
        seconds[task.criterion] = seconds.get(task.criterion, 0.0) + part.seconds
    return {
        "format": FORMAT,
        "finished_at": max((part.finished_at for _, part in found), default=""),
        "versions": digest.versions(),
        "device": digest.device(),
        "seed": settings.seed,
        "configuration": dict(configuration or dataclasses.asdict(settings)),
        "system": _described(bench.system),
        "workloads": [
            {
                "index": index,
                "num_requests": cut.workload.num_requests,
                "load": cut.load,
                "description": cut.description,
            }
            for index, cut in enumerate(bench.cuts)
        ],
        "criteria": list(criteria),
        "methods": [
            {
                "name": method.name,
                "claims": list(method.claims),
                "source": method.source,
                "docstring": method.docstring,
            }
            for method in bench.methods.values()
        ],
        "flags": list(flags),
        "seconds": {name: round(total, 3) for name, total in seconds.items()},
    }


def _described(system: System) -> str:
    gpus = f"{system.tensor_parallel} x {system.accelerator.name}"
    return f"{system.model.name} on {gpus}, {system.policy}, {system.provisioning}"


def _as_cut(workload: Workload | Cut) -> Cut:
    if isinstance(workload, Cut):
        return workload
    return Cut(workload, 1.0, f"{workload.num_requests} requests, as given")


def _require(
    settings: Settings,
    criteria: Sequence[str],
    workloads: Sequence[Workload | Cut],
    workers: int,
) -> None:
    if workers < 1:
        raise InputError(f"`workers` is {workers}.", hint="Give 1 or more.")
    unknown = [name for name in criteria if name not in CRITERIA]
    if unknown or not criteria:
        said = f"there is no criterion {unknown[0]!r}." if unknown else "no criterion."
        raise InputError(said, hint=f"Choose of {', '.join(CRITERIA)}.")
    if not workloads:
        raise InputError("`workloads` is empty.", hint="Give at least one workload.")
    if not settings.eps or not all(0 < each < float("inf") for each in settings.eps):
        raise InputError(f"`eps` is {settings.eps}.", hint="Give such as (0.05, 0.01).")
    for name, value in (("alpha", settings.alpha), ("level", settings.level)):
        if not 0 < value < 1:
            raise InputError(f"`{name}` is {value}.", hint="Give a part, such as 0.9.")
    for estimator in settings.estimators:
        find_estimator(estimator, 2)
