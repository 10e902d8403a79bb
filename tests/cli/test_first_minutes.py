"""What a newcomer may meet: a narrow terminal, a missing device, a misspelt command."""

import functools as ft
import json
import logging
import os
import subprocess
import sys

import pytest
from rich.console import Console

from carbjax._cli import screen
from carbjax._cli.devices import explain_plugins
from tests.cli.calling import GOOD, call, write

LONG = GOOD.replace("\na,", "\na-name-that-a-gateway-made-and-nobody-chose,")


def _shown(monkeypatch, tmp_path, width, content=GOOD):
    terminal = ft.partial(Console, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(screen, "Console", terminal)
    return call("attribute", write(tmp_path, content), "--method", "tokens").output


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_number_is_cut_in_a_narrow_terminal(monkeypatch, tmp_path, width):
    shown = _shown(monkeypatch, tmp_path, width)
    assert "…" not in shown and "share" in shown and "total g" in shown
    assert ("embodied g" in shown) == (width == 100)
    assert ("A wider terminal" in shown) == (width < 100)


def test_names_give_way_before_numbers(monkeypatch, tmp_path):
    shown = _shown(monkeypatch, tmp_path, 70, LONG)
    assert "…" not in shown and "100.0%" in shown


def test_nothing_is_cut_where_a_program_reads(tmp_path):
    shown = call("attribute", write(tmp_path, LONG), "--method", "tokens").output
    assert "a-name-that-a-gateway-made-and-nobody-chose" in shown and "embodied g" in shown


def test_what_becomes_of_idle_is_said_once(tmp_path):
    trace = write(tmp_path, GOOD)
    for idle, said in (("usage", "spread by usage"), ("unattributed", "left unattributed")):
        shown = call("attribute", trace, "--method", "tokens", "--idle", idle).output
        assert shown.count(said) == 1


def test_notes_are_of_the_requests_that_were_chosen(tmp_path):
    text = GOOD.replace("0.3,50", "0.1,0") + "d,bob,0.4,10,1\n"
    trace = write(tmp_path, text)

    def notes(limit):
        words = "attribute", trace, "--method", "tokens", "--limit", limit, "--json"
        return " ".join(json.loads(call(*words).output)["notes"])

    tie, empty = "2 requests share their arrival", "1 requests have no prompt (row 4)"
    assert tie not in notes(1) and f"Whole trace: {empty}" in notes(1)
    assert f"{tie} with" in notes(3) and f"Whole trace: {empty}" in notes(3)
    assert tie in notes(4) and "Whole trace" not in notes(4)


def test_a_device_that_is_not_there_is_one_line_and_a_way_out():
    asked = os.environ | {"JAX_PLATFORMS": "no_such_device"}
    command = [sys.executable, "-m", "carbjax", "doctor"]
    ended = subprocess.run(command, env=asked, capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert "no_such_device" in ended.stderr and "Unset JAX_PLATFORMS" in ended.stderr


def test_a_plugin_without_its_driver_is_one_line(caplog):
    explain_plugins()
    logger = logging.getLogger("jax._src.xla_bridge")
    try:
        raise RuntimeError("no driver")
    except RuntimeError:
        logger.exception("Jax plugin configuration error: %s", "xla_cuda12")
    (record,) = caplog.records
    assert record.exc_info is None and "no driver" in record.getMessage()


def test_another_error_stays_what_it_is(monkeypatch):
    def fails(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("carbjax._cli.doctor._names", fails)
    assert isinstance(call("doctor").exception, RuntimeError)


def test_a_misspelt_command_is_guessed():
    assert "did you mean 'attribute'" in call("atribute").stderr
