import subprocess
import sys

import pytest
from click.testing import CliRunner

from carbjax._cli.main import COMMANDS, carbjax
from carbjax._settings.sections import AttributionSettings, SystemSettings


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(command):
    result = CliRunner().invoke(carbjax, [command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"carbjax {command}" in result.output


def test_help_lists_every_command_and_imports_nothing_heavy():
    script = (
        "import sys; from carbjax._cli.main import carbjax;"
        "carbjax(['--help'], standalone_mode=False);"
        "print(sorted({'jax', 'matplotlib', 'pyarrow', 'pydantic'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert shown.splitlines()[-1] == "[]"


def test_choices_are_those_of_the_library():
    from carbjax._attribution.idle import IDLE_RULES
    from carbjax._carbon.footprint import PROVISIONING
    from carbjax._carbon.intensity import KINDS
    from carbjax._serving.policies import POLICIES

    def choices(section, name):
        return set(section.model_fields[name].annotation.__args__)

    assert choices(SystemSettings, "policy") == set(POLICIES)
    assert choices(SystemSettings, "provisioning") == set(PROVISIONING)
    assert choices(SystemSettings, "intensity_kind") == set(KINDS)
    assert choices(AttributionSettings, "idle") == set(IDLE_RULES)


def test_an_unknown_command_or_option_is_exit_code_2():
    for arguments in (["atribute"], ["attribute", "sample", "--polcy", "static"]):
        result = CliRunner().invoke(carbjax, arguments)
        assert result.exit_code == 2
        assert "No such" in result.output
