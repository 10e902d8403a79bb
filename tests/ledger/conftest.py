"""Ledgers of small fleets share compiled programs, also with other processes."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests.ledger import fleet


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """A folder in which compiled programs are kept while the tests run."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def kept_programs(programs):
    """The same folder, in use by this process."""
    settings = {
        "jax_compilation_cache_dir": str(programs),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield programs
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def two_lanes():
    """Groups of two backends, so that a small fleet has several groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("carbjax._ledger.plan._FEWEST_LANES", fleet.LANES)
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A data set of four backends by hour."""
    return fleet.write_fleet(tmp_path_factory.mktemp("source") / "fleet")


@pytest.fixture(scope="module")
def made(tmp_path_factory, source, two_lanes, kept_programs):
    """Its ledger, made without interruption."""
    return fleet.make(source, tmp_path_factory.mktemp("made") / "ledger")


@pytest.fixture
def quick(monkeypatch, kept_programs):
    """A system that compiles quickly, whatever the options ask for."""
    path = "carbjax._serving.configuration.make_system"
    monkeypatch.setattr(path, lambda settings: fleet.system())
