"""Many devices find what one does. In processes of their own: devices are made at start."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json
import os
import jax
jax.config.update("jax_enable_x64", True)
if "HOST" in os.environ:
    jax.distributed.initialize(os.environ["MEETING"], 2, int(os.environ["HOST"]))
import carbjax as cj
import numpy as np
from carbjax._attribution.interactions import shapley_interactions

rng = np.random.default_rng(1)
workload = cj.Workload(
    np.sort(rng.uniform(0, 0.5, 7)), rng.integers(1, 900, 7), rng.integers(1, 40, 7)
)
game = cj.ServingGame(workload, cj.System.load(carbon_intensity=400.0))
table = cj.TableGame(rng.normal(size=2**13))
print(json.dumps({
    "devices": jax.device_count(),
    "serving": cj.shapley(game).tolist(),
    "table": cj.shapley(table).tolist(),
    "pairs": shapley_interactions(table).tolist(),
}))
"""


def _start(devices: int, **environment: str) -> subprocess.Popen:
    flags = f"--xla_force_host_platform_device_count={devices}"
    given = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **given},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _answer(process: subprocess.Popen) -> dict:
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def of_one() -> dict:
    return _answer(_start(1))


def _require_equal(found: dict, expected: dict) -> None:
    for name in expected.keys() - {"devices"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-13)


@pytest.mark.slow
def test_eight_devices_find_what_one_does(of_one):
    eight = _answer(_start(8))
    assert (of_one["devices"], eight["devices"]) == (1, 8)
    _require_equal(eight, of_one)


@pytest.mark.slow
def test_two_hosts_find_what_one_does(of_one):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{free.getsockname()[1]}"
    hosts = [_start(2, HOST=str(i), MEETING=meeting) for i in range(2)]
    for host in hosts:
        found = _answer(host)
        assert found["devices"] == 4
        _require_equal(found, of_one)
