"""Several processes find what one finds, and share the methods out."""

import numpy as np
import pytest

from carbjax._criteria import evaluation_workers
from carbjax._criteria.cuts import cut_workloads
from carbjax._criteria.evaluation import evaluate
from carbjax._errors import InputError
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


def test_workers_find_what_one_process_finds(tmp_path):
    alone, together = judge(1), judge(2, tmp_path)
    assert together.rows.equals(alone.rows)
    assert together.summary.equals(alone.summary)
    # A worker took what carbjax owns: no task was carried out twice.
    names = [path.name.rsplit("-", 1)[0] for path in (tmp_path / "parts").iterdir()]
    assert len(names) == len(set(names)) == len(METHODS) * 3


def test_a_worker_that_dies_costs_time_alone(monkeypatch):
    monkeypatch.setattr(evaluation_workers, "_PROGRAM", "raise SystemExit(1)")
    assert judge(2).summary.equals(judge(1).summary)


def test_no_workers_are_refused():
    with pytest.raises(InputError, match="workers"):
        judge(0)
