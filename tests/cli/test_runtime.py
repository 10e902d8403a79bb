import os
import subprocess
import sys

import pytest

import carbjax as cj
from carbjax import _runtime

COUNT_COMPILED = """
import jax, sys, carbjax as cj
misses = []
jax.monitoring.register_event_listener(
    lambda name, **_: misses.append(name) if name.endswith("cache_misses") else None)
cj.enable_compilation_cache(sys.argv[1])
w = cj.Workload([0.0, 0.1], [64, 96], [4, 3])
cj.attribute(w, cj.System.load(), method="shapley", idle="usage")
print(len(misses))
"""


def compiled_by_a_process(folder) -> int:
    command = [sys.executable, "-c", COUNT_COMPILED, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path):
    assert compiled_by_a_process(tmp_path) > 0
    assert compiled_by_a_process(tmp_path) == 0


def test_the_cache_is_off_with_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv(_runtime.CACHE_OFF, "1")
    assert cj.enable_compilation_cache(tmp_path / "cache") is None
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_left_off(tmp_path):
    (tmp_path / "file").touch()
    assert cj.enable_compilation_cache(tmp_path / "file" / "cache") is None


def test_the_cache_lies_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _runtime.cache_folder().is_relative_to(tmp_path)
    assert os.listdir(tmp_path) == []
