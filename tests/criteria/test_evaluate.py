"""The whole judgement: its numbers, what is refused, and what is taken up again."""

import dataclasses
import json
import math
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from carbjax._attribution.methods import methods
from carbjax._criteria import evaluation_run
from carbjax._criteria.cuts import cut_workloads
from carbjax._criteria.evaluation import Evaluation, evaluate
from carbjax._criteria.evaluation_limit import TimeLimit, time_limit
from carbjax._criteria.evaluation_over import median_interval, over_workloads
from carbjax._criteria.evaluation_rows import ROWS, Row, refused
from carbjax._criteria.fairness import shapley_distance
from carbjax._criteria.scaling import Scaling
from carbjax._criteria.tabulate import tabulate, totals
from carbjax._errors import InputError, OutputError
from carbjax._games import ServingGame
from carbjax._serving.serve import serve
from carbjax._workload import Workload
from tests.criteria.sinners import SINS, by_tokens, tiny_system

CRITERIA = ("fairness", "sample_efficiency")
GIVEN = ("shapley", by_tokens, SINS["not_deterministic"], SINS["open"])
NUM_TASKS = len(GIVEN) + 2 * len(CRITERIA) * 2  # the guard's; two methods, two workloads


def trace(num_requests=40) -> Workload:
    rng = np.random.default_rng(1)
    arrival = np.sort(rng.uniform(0, 3, num_requests))
    tokens = rng.integers(5, 200, (2, num_requests))
    return Workload(arrival, tokens[0], tokens[1] // 10)


def cuts():
    return cut_workloads(trace(), 2, num_requests=4, loads=(1.0, 5.0))


def judge(given=GIVEN, **changed) -> Evaluation:
    settings = {"criteria": CRITERIA, "workloads": cuts(), "system": tiny_system()}
    return evaluate(given, **{**settings, "limit_s": None, **changed})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def found(folder) -> Evaluation:
    return judge(out=folder)


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """The names of the tasks that are carried out, as they are."""
    names: list[str] = []
    real = evaluation_run.run_task

    def noted(task, *rest):
        names.append(str(task))
        return real(task, *rest)

    monkeypatch.setattr(evaluation_run, "run_task", noted)
    return names


def value(found: Evaluation, method, quantity, workload=None, group=None):
    wanted = {"method": method, "quantity": quantity, "workload": workload, "group": group}
    (row,) = [r for r in found.rows.to_pylist() if wanted.items() <= r.items()]
    return row["value"]


def test_distances_are_those_to_the_exact_value(found):
    for index, cut in enumerate(cuts()):
        game = tabulate(ServingGame(cut.workload, tiny_system()))
        truth = methods()["shapley"](game).shares
        timeline = serve(cut.workload, tiny_system())
        shares = by_tokens(None, workload=cut.workload, timeline=timeline)
        for quantity in ("relative", "absolute_g", "kendall_tau"):
            expected = getattr(shapley_distance(shares, truth), quantity)
            assert value(found, "by_tokens", quantity, index) == pytest.approx(expected)
        assert value(found, "shapley", "relative", index) < 1e-9
        assert np.isfinite(totals(game)).all()


def test_the_number_over_all_workloads_is_the_median(found):
    single = [value(found, "by_tokens", "relative", index) for index in range(2)]
    assert value(found, "by_tokens", "relative") == pytest.approx(np.median(single))
    assert value(found, "by_tokens", "relative", group="load 5") == single[1]


def test_enumeration_takes_all_values_and_a_look_at_the_run_none(found):
    assert value(found, "shapley", "N_eps", group="1%") == 2**4
    assert value(found, "shapley", "num_evaluations") == 2**4
    assert value(found, "by_tokens", "num_evaluations") == 0
    assert value(found, "by_tokens", "N_eps", group="1%") == math.inf


def test_a_method_that_misbehaves_has_a_reason_and_the_others_go_on(found):
    status = dict(zip(*(found.summary[c].to_pylist() for c in ("method", "status"))))
    assert status == {
        "shapley": "ok",
        "by_tokens": "ok",
        "not_deterministic": "refused",
        "does_not_close": "refused",
    }
    rows = [r for r in found.rows.to_pylist() if r["status"] == "refused"]
    assert {r["criterion"] for r in rows} == set(CRITERIA)
    assert all("gCO2e" in r["reason"] for r in rows)
    assert any("same key" in flag for flag in found.flags)


def test_files_say_what_was_done_and_are_whole(found, folder):
    def forbid(name):
        raise ValueError(name)

    about = json.loads((folder / "evaluation.json").read_text(), parse_constant=forbid)
    assert {"format", "finished_at", "versions", "device", "seed", "configuration"} < set(
        about
    )
    assert [w["load"] for w in about["workloads"]] == [1.0, 5.0]
    assert about["methods"][1]["source"].endswith("sinners.py")
    assert pq.read_table(folder / "results.parquet").schema.equals(ROWS)
    assert json.loads((folder / "examples.json").read_text()) == []
    assert not list(folder.rglob(".*"))


def test_a_second_call_does_nothing_anew(found, folder, ran):
    before = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    again = judge(out=folder)
    assert ran == []
    assert again.rows.equals(found.rows) and again.summary.equals(found.summary)
    assert before == {path.name: path.read_bytes() for path in folder.glob("*.json")}


def test_what_a_number_depends_on_is_done_anew(found, folder, ran):
    judge(out=folder, eps=(0.2,))
    assert len(ran) == 4 and all(name.startswith("sample_efficiency") for name in ran)
    ran.clear()
    slower = dataclasses.replace(tiny_system(), pue=1.5)
    judge(("shapley",), criteria=("fairness",), out=folder, system=slower)
    assert len(ran) == 3


@pytest.mark.parametrize("after", [1, 6])
def test_an_interrupted_run_goes_on_to_the_same_tables(found, tmp_path, monkeypatch, after):
    real, ran = evaluation_run.run_task, []

    def until_killed(task, *rest):
        if len(ran) == after:
            raise KeyboardInterrupt
        ran.append(task)
        return real(task, *rest)

    monkeypatch.setattr(evaluation_run, "run_task", until_killed)
    with pytest.raises(KeyboardInterrupt):
        judge(out=tmp_path)
    assert len(list((tmp_path / "parts").iterdir())) == after
    half = next((tmp_path / "parts").iterdir())
    half.write_bytes(half.read_bytes()[:40])  # as if written without a rename
    after = 10**6
    done = len(ran)
    resumed = judge(out=tmp_path)
    assert len(ran) - done == NUM_TASKS - done + 1
    shown = [column for column in resumed.rows.column_names if column != "reason"]
    assert resumed.rows.select(shown).equals(found.rows.select(shown))


def test_fresh_forgets_what_was_found(ran, tmp_path):
    asked = {"criteria": ("fairness",), "out": tmp_path}
    for fresh in (False, False, True):
        judge((by_tokens,), fresh=fresh, **asked)
    assert len(ran) == 2 * 3


def test_too_slow_a_task_is_a_row_and_the_next_are_not_tried(monkeypatch, tmp_path):
    real, ran = evaluation_run.run_task, []

    def slow(task, *rest):
        ran.append(task)
        if task.criterion == "fairness" and task.method == "shapley":
            raise TimeLimit
        return real(task, *rest)

    monkeypatch.setattr(evaluation_run, "run_task", slow)
    found = judge(("shapley", by_tokens), out=tmp_path, limit_s=60.0)
    rows = [r for r in found.rows.to_pylist() if r["status"] == "refused"]
    assert [r["reason"][:9] for r in rows] == ["took long", "not tried", "took long"]
    assert value(found, "by_tokens", "relative") > 0
    done = len(ran)
    judge(("shapley", by_tokens), out=tmp_path, limit_s=60.0)
    assert len(ran) == done
    judge(("shapley", by_tokens), out=tmp_path, limit_s=90.0)
    assert len(ran) == done + 1


def test_a_limit_ends_a_loop_and_leaves_the_quick_alone():
    start = time.perf_counter()
    with pytest.raises(TimeLimit), time_limit(0.05):
        while time.perf_counter() < start + 30:
            pass
    assert time.perf_counter() - start < 10
    with time_limit(0.05):
        pass
    time.sleep(0.1)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"criteria": ("fair",)}, "fair"),
        ({"workloads": ()}, "workloads"),
        ({"eps": (0.0,)}, "eps"),
        ({"level": 1.0}, "level"),
        ({"estimators": ("ood",)}, "ood"),
        ({"given": ("tokns",)}, "tokens"),
        ({"given": (by_tokens, by_tokens)}, "twice"),
    ],
)
def test_a_bad_argument_is_named(changed, said):
    with pytest.raises(InputError, match=said):
        judge(**changed)


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        judge(out=tmp_path / "file")


def test_medians_may_be_infinite():
    settings = {"level": 0.9, "seed": 0}
    middle, interval = median_interval([4.0, math.inf, math.inf], **settings)
    assert middle == math.inf and interval.high == math.inf
    middle, interval = median_interval([4.0] * 9 + [math.inf], **settings)
    assert middle == 4.0 and interval.low == 4.0


def test_refused_workloads_are_left_out_and_counted():
    rows = [Row("fairness", "m", "relative", 0.1 * k, workload=k) for k in range(3)]
    rows.append(refused("fairness", "m", "no answer", 3))
    (row,) = over_workloads(rows, [1.0] * 4, level=0.9, seed=0)
    assert row.value == pytest.approx(0.1) and row.num_values == 3
    assert row.reason == "1 of 4 workloads refused: no answer"
    (alone,) = over_workloads(rows[3:], [1.0] * 4, level=0.9, seed=0)
    assert alone.status == "refused" and alone.workload is None


def test_a_cut_is_the_same_however_many_there_are():
    few, many = (
        cut_workloads(trace(), count, num_requests=5, loads=(1, 2, 4)) for count in (4, 9)
    )
    assert [cut.load for cut in many[:4]] == [1, 2, 4, 1]
    for one, other in zip(few, many, strict=False):
        assert np.array_equal(one.workload.arrival_s, other.workload.arrival_s)
    rows = trace().num_prefill_tokens.tolist()
    for cut in many:
        tokens = cut.workload.num_prefill_tokens.tolist()
        assert any(rows[k : k + 5] == tokens for k in range(len(rows)))
    with pytest.raises(InputError, match="41 requests"):
        cut_workloads(trace(), 1, num_requests=41)


@pytest.mark.slow
def test_all_criteria_judge_a_method(monkeypatch):
    few = {"players": (1, 4), "iterations": (8, 16), "tokens": (128, 256), "requests": (8,)}
    # The package has a function of the module's name.
    monkeypatch.setattr(sys.modules[Scaling.__module__], "DEFAULT_POINTS", few)
    everything = judge((by_tokens,), criteria=("axioms", "scalability", "incentives"))
    (line,) = everything.summary.to_pylist()
    assert line["status"] == "ok" and "linearity_traces" in line["broken"]
    assert {e["axiom"] for e in everything.examples} == set(line["broken"].split(", "))
    assert everything.scaling.num_rows == 7 and line["verdict"] == "unknown"
    assert 0 < line["R_prompt"] < 1 and line["padding_rewarded"] is not None
