"""Several processes find what one finds, and share the methods out."""

import numpy as np
import pytest

from carbjax._criteria import evaluation_run, evaluation_workers
from carbjax._criteria.cuts import cut_workloads
from carbjax._criteria.evaluation import evaluate
from carbjax._errors import InputError
from carbjax._progress import listening
from carbjax._workload import Workload
from tests.criteria.sinners import by_tokens, tiny_system

METHODS = ("tokens", "time", by_tokens)


def judge(workers: int, out=None):
    rng = np.random.default_rng(1)
    tokens = rng.integers(5, 50, (2, 20))
    trace = Workload(np.sort(rng.uniform(0, 2, 20)), *tokens)
    return evaluate(
        METHODS,
        workloads=cut_workloads(trace, 2, num_requests=3, loads=(1.0,)),
        system=tiny_system(),
        criteria=("fairness",),
        workers=workers,
        out=out,
    )


def test_workers_find_what_one_process_finds(tmp_path, monkeypatch):
    alone, real = judge(1), evaluation_run.run_task

    def of_others(task, *rest):
        assert task.method == "by_tokens"
        return real(task, *rest)

    monkeypatch.setattr(evaluation_run, "run_task", of_others)
    told = []
    with listening(lambda *report: told.append(report)):
        together = judge(2, tmp_path)
    assert together.rows.equals(alone.rows)
    assert together.summary.equals(alone.summary)
    # The workers did what carbjax owns, and said so: no task was carried out twice.
    assert ("tasks of the workers", 4, 4) in told
    names = [path.name.rsplit("-", 1)[0] for path in (tmp_path / "parts").iterdir()]
    assert len(names) == len(set(names)) == len(METHODS) * 3


def test_a_worker_that_dies_costs_time_alone(monkeypatch):
    monkeypatch.setattr(evaluation_workers, "_PROGRAM", "raise SystemExit(1)")
    assert judge(2).summary.equals(judge(1).summary)


def test_what_the_user_has_set_stays_and_the_rest_is_set_for_workers():
    given = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=true", "OMP_NUM_THREADS": "4"}
    for jaxlib, fusion in (
        ("0.10.2", ["--xla_cpu_use_fusion_emitters=false"]),
        ("0.11.0", []),
    ):
        found = evaluation_workers.worker_environment({**given, "HOME": "/"}, jaxlib)
        assert found["XLA_FLAGS"].split() == [given["XLA_FLAGS"], *fusion]
        assert found["OMP_NUM_THREADS"] == "4" and found["OPENBLAS_NUM_THREADS"] == "1"
        assert found["HOME"] == "/"
    in_file = evaluation_workers.worker_environment({"XLA_FLAGS": "flags.txt"}, "0.10.2")
    assert in_file["XLA_FLAGS"] == "flags.txt"
    alone = evaluation_workers.worker_environment({}, "0.11.0")
    assert alone["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=false"


def test_no_workers_are_refused():
    with pytest.raises(InputError, match="workers"):
        judge(0)
