"""Many devices find what one does. In processes of their own: devices are made at start."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json
import jax
jax.config.update("jax_enable_x64", True)
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


def _run(devices: int) -> dict:
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_eight_devices_find_what_one_does():
    one, eight = _run(1), _run(8)
    assert (one.pop("devices"), eight.pop("devices")) == (1, 8)
    for name, expected in one.items():
        np.testing.assert_allclose(eight[name], expected, rtol=1e-12, atol=1e-13)
