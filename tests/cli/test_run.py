import json
import pathlib

import pytest

from carbjax._settings.checking import read_tables

from .calling import GOOD, call, write

CONFIG = """
[trace]
path = "trace.csv"
limit = 2
[system]
policy = "static"
carbon_intensity = 250
[attribution]
method = "tokens"
[output]
out = "ledger.csv"
"""


def test_a_configuration_does_what_the_options_do(tmp_path):
    trace = write(tmp_path, GOOD)
    result = call("run", write(tmp_path, CONFIG, "run.toml"), "--json")
    assert result.exit_code == 0, result.output
    options = ["--limit", 2, "--policy", "static", "--intensity", 250, "--method", "tokens"]
    direct = json.loads(call("attribute", trace, *options, "--json").stdout)
    configured = json.loads(result.stdout)
    for key in ("top", "total_gco2e", "components_gco2e", "num_requests"):
        assert configured[key] == direct[key]
    assert (tmp_path / "ledger.csv").exists()


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("[trace]", "[trace", "run.toml, row 2"),
        ('"static"', '"fifo"', "`system.policy` is 'fifo'. Choose of prefill_first"),
        ("policy =", "polcy =", "`system.polcy` is not known. Did you mean 'policy'?"),
        ("[system]", "[sytem]", "`sytem` is not known. Did you mean 'system'?"),
        (
            "limit = 2",
            'limit = "2"',
            "`trace.limit` is '2'. Give a whole number, 1 or more.",
        ),
        ("limit = 2", "limit = 0", "`trace.limit` is 0. Give a whole number, 1 or more."),
        ("limit = 2", "limit = 3000000000", "1 or more and at most 2147483647."),
        ("limit = 2", "format = 3", "`trace.format` is 3. Give text."),
        ("limit = 2", "epoch = true", "`trace.epoch` is True. Give text or an instant."),
        ("[attribution]", "[[attribution]]", "'tokens'}]. Give a table."),
        ("limit = 2", "from = nan", "`trace.from` is nan."),
        ('path = "trace.csv"', "", "`trace.path` is missing"),
        ("250", "true", "`system.carbon_intensity` is True"),
        ('"trace.csv"', '"gone.csv"', "gone.csv"),
    ],
)
def test_a_bad_configuration_names_file_key_and_way_out(tmp_path, old, new, said):
    write(tmp_path, GOOD)
    assert old in CONFIG
    config = write(tmp_path, CONFIG.replace(old, new, 1), "run.toml")
    result = call("run", config)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert not (tmp_path / "ledger.csv").exists()
    if "gone" not in said:
        assert "run.toml" in result.stderr


def test_an_epoch_may_be_a_date_of_toml(tmp_path):
    write(tmp_path, GOOD)
    config = CONFIG.replace("limit = 2", "epoch = 2020-01-01T00:00:00Z")
    result = call("run", write(tmp_path, config, "run.toml"), "--json")
    assert result.exit_code == 0, result.output
    assert any("2020-01-01" in note for note in json.loads(result.stdout)["notes"])


def test_a_missing_configuration_is_named(tmp_path):
    result = call("run", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "none.toml: cannot be read" in result.stderr


def test_the_shipped_configurations_are_good():
    root = pathlib.Path(__file__).parents[2]
    of_experiments = {script.stem for script in (root / "experiments").glob("*.py")}
    configs = {config.stem: config for config in (root / "configs").glob("*.toml")}
    assert "sample" in configs
    evaluations = {name for name in configs if name.startswith("evaluation")}
    for name in configs.keys() - of_experiments - evaluations:
        assert read_tables(str(configs[name])).trace.path
