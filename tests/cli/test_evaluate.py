import json
import pathlib

import pytest

from carbjax._attribution.methods import _ENTRIES
from carbjax._report.reading import read_evaluation as read_results
from carbjax._settings.evaluation import read_evaluation

from .calling import call, write

CONFIG = """
[evaluation]
methods = ["tokens", "halves", "broken"]
method_files = ["mine.py"]
criteria = ["fairness"]
eps = [0.05]
limit_s = 3600.0
[workloads]
trace = "sample"
count = 2
requests = 4
loads = [1.0, 10.0]
[system]
carbon_intensity = 250.0
[output]
out = "results"
"""
MINE = """
import carbjax as cj

def halves(game, *, workload, system, timeline, key=None):
    "The whole by tokens."
    return cj.methods()["tokens"](None, workload=workload, system=system, timeline=timeline)

def broken(game, **rest):
    raise LookupError("no idea")

cj.register_method("halves", halves, needs_game=False, claims=("efficiency",))
cj.register_method("broken", broken, needs_game=False)
"""


@pytest.fixture(autouse=True)
def own_registry():
    """Methods that a test registers are forgotten after it."""
    known = dict(_ENTRIES)
    yield
    forget(known)


def forget(known):
    _ENTRIES.clear()
    _ENTRIES.update(known)


def test_an_evaluation_is_written_and_taken_up_again(tmp_path, monkeypatch):
    known = dict(_ENTRIES)
    write(tmp_path, MINE, "mine.py")
    config = write(tmp_path, CONFIG, "evaluation.toml")
    result = call("evaluate", config, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    lines = {line["method"]: line for line in found["summary"]}
    assert lines["broken"]["status"] == "refused"
    assert "no idea" in lines["broken"]["reason"]
    assert lines["halves"]["relative"] == lines["tokens"]["relative"] > 0
    assert [m["source"][-7:] for m in found["methods"]] == ["egistry", "mine.py", "mine.py"]
    assert found["configuration"]["system"]["carbon_intensity"] == 250.0
    results = read_results(tmp_path / "results")
    assert results.about.methods[1].docstring == "The whole by tokens."

    forget(known)
    monkeypatch.setattr("carbjax._criteria.evaluation_run.run_task", None)
    again = call("evaluate", config)
    assert again.exit_code == 0, again.output
    assert "halves" in again.stdout and "refused" in again.stdout


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("[workloads]", "[workloads", "evaluation.toml, row 8"),
        ('"fairness"', '"fair"', "`evaluation.criteria` is 'fair'. Choose of fairness"),
        ("[0.05]", "[-0.05]", "`evaluation.eps` is -0.05. Give a list, each a finite"),
        ("requests = 4", "requests = 40", "`workloads.requests` is 40."),
        ("count =", "cout =", "`workloads.cout` is not known. Did you mean 'count'?"),
        ('trace = "sample"', "", "`workloads.trace` is missing"),
        ("count = 2", "count = 0", "`workloads.count` is 0. Give a whole number, 1 or"),
        ('"tokens"', '"tokns"', "there is no method 'tokns'. Did you mean 'tokens'?"),
        ('"mine.py"', '"gone.py"', "gone.py: there is no such file."),
        ('"mine.py"', '"empty.py"', "empty.py: no method was registered."),
        ('"mine.py"', '"bad.py"', "bad.py, row 2: running it raises ZeroDivisionError"),
        ('out = "results"', "", "`output.out` is missing. Give it, or --out FOLDER."),
        ("[system]", '[system]\npolicy = "x"', "`system.policy` is 'x'. Choose of"),
    ],
)
def test_bad_input_names_file_key_and_way_out(tmp_path, old, new, said):
    write(tmp_path, MINE, "mine.py")
    write(tmp_path, "", "empty.py")
    write(tmp_path, "\n1 / 0\n", "bad.py")
    assert old in CONFIG
    config = write(tmp_path, CONFIG.replace(old, new, 1), "evaluation.toml")
    result = call("evaluate", config)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert not (tmp_path / "results" / "evaluation.json").exists()


def test_the_shipped_configurations_are_good():
    configs = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("evaluation*"))
    assert len(configs) == 2
    for config in configs:
        assert read_evaluation(str(config)).workloads.trace
