"""Strict numerics for every test, and the way to the shared measurements."""

import os
import pathlib

# Tests compile far more than they run: quick code is not worth the wait for it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

_NEIGHBOUR = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of shared measurements; tests that need it skip where it is absent."""
    folder = pathlib.Path(os.environ.get("CARBJAX_DATA", _NEIGHBOUR))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set CARBJAX_DATA to run this test")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _programs_of_a_file():
    """Compiled programs end with their file: a process can map only so many of them."""
    yield
    jax.clear_caches()
