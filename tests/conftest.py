"""Strict numerics for every test, and the way to the shared measurements."""

import os
import pathlib
import tempfile
from importlib.metadata import version

# Tests compile far more than they run: quick code is not worth the wait for it.
# XLA refuses flags that it does not know.
_FLAGS = ["--xla_backend_optimization_level=0"]
if version("jaxlib").startswith("0.10."):
    _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(_FLAGS))
# Each process of the run has one core: more threads of BLAS wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

_PROGRAMS = "JAX_COMPILATION_CACHE_DIR"
_WORTH_KEEPING_S = 0.1  # of compiling

_NEIGHBOUR = pathlib.Path(__file__).parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """One folder of compiled programs for all processes of the run, and no other run."""
    if _PROGRAMS not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="carbjax-tests-")
        config.add_cleanup(folder.cleanup)
        os.environ[_PROGRAMS] = folder.name  # workers begin with it
    jax.config.update("jax_compilation_cache_dir", os.environ[_PROGRAMS])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING_S)


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
