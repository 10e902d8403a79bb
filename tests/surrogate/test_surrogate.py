"""A surrogate comes back from its file as it went, or is refused."""

import json

import pytest

import carbjax as cj
from carbjax._errors import ConfigError, OutputError, ProfileError


def test_a_saved_surrogate_serves_as_the_shipped_one(tmp_path):
    path = tmp_path / "mine.json"
    cj.Surrogate.shipped("h100-sxm").save(path)
    workload = cj.Workload([0.0, 0.1], [300, 40], [20, 9])
    mine = cj.serve(workload, cj.System.load("h100-sxm", surrogate=path))
    shipped = cj.serve(workload, cj.System.load("h100-sxm"))
    assert mine.energy_j == shipped.energy_j and mine.end_s == shipped.end_s


def test_another_surrogate_gives_other_grams(tmp_path):
    record = json.loads(json.dumps(cj.Surrogate.shipped("h100-sxm").record))
    record["operators"]["host"]["base"] += 1.0
    slow = cj.System.load("h100-sxm", surrogate=cj.Surrogate(record))
    workload = cj.Workload([0.0], [300], [20])
    assert cj.serve(workload, slow).busy_s > 20
    assert cj.serve(workload, cj.System.load("h100-sxm")).busy_s < 2


def test_a_surrogate_of_another_gpu_is_refused():
    with pytest.raises(ConfigError, match="'h100-sxm'.*'h200-sxm'"):
        cj.System.load("h200-sxm", surrogate=cj.Surrogate.shipped("h100-sxm"))


def test_a_cost_and_a_surrogate_together_are_refused():
    shipped = cj.Surrogate.shipped("h200-sxm")
    cost = cj.System.load().cost
    with pytest.raises(ConfigError, match="both"):
        cj.System.load(surrogate=shipped, cost=cost)


@pytest.mark.parametrize(
    "text, told",
    [
        ("no json", "is no JSON"),
        ("{}", "no file of fitted operators"),
        ('{"operators": {}, "accelerator": "x"}', "no file of fitted operators"),
        ("[1]", "no file of fitted operators"),
    ],
)
def test_a_file_that_is_no_surrogate_is_refused_by_name(tmp_path, text, told):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(ProfileError, match=f"odd.json.*{told}"):
        cj.Surrogate.load(path)


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(ProfileError, match="nowhere.json"):
        cj.Surrogate.load(tmp_path / "nowhere.json")
    with pytest.raises(OutputError, match="gone"):
        cj.Surrogate.shipped("h100-sxm").save(tmp_path / "gone" / "x.json")


def test_nothing_is_left_beside_a_saved_file(tmp_path):
    cj.Surrogate.shipped("h100-sxm").save(tmp_path / "mine.json")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.json"]
