"""The same ledger from a Ray cluster of this machine, one worker of which is killed."""

import dataclasses as dc
import os
import pathlib
import signal

import pytest

import carbjax as cj
from carbjax._ledger.backends import ParquetBackend
from tests.ledger import fleet

ray = pytest.importorskip("ray", reason="Ray is not installed: carbjax[ray]")
pytestmark = [
    pytest.mark.slow,
    # Ray's own: what it does with its processes and files is not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@dc.dataclass(frozen=True)
class Mortal:
    """A backend whose process is killed once, after some of its requests are served."""

    backend: ParquetBackend
    mark: pathlib.Path  # there once it was killed
    host: int  # a process that must live
    name: str
    num_requests: int
    inputs: tuple[str, ...]
    has_calendar: bool = True
    model: str | None = None
    rejects: bool = False

    def batches(self, skip: int, size: int):
        """See `Backend`."""
        for count, batch in enumerate(self.backend.batches(skip, size)):
            if count == 2 and not self.mark.exists() and os.getpid() != self.host:
                self.mark.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch


@pytest.fixture(scope="module")
def cluster(programs):
    """Two workers, for all tests here: starting them takes longer than the work."""
    env = {
        "JAX_COMPILATION_CACHE_DIR": str(programs),
        "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
    }
    quiet = {"log_to_driver": False, "include_dashboard": False}
    small = {"num_cpus": 2, "object_store_memory": 80 * 2**20}
    ray.init(runtime_env={"env_vars": env}, **small, **quiet)
    yield
    ray.shutdown()


def test_a_worker_that_is_killed_changes_no_byte(tmp_path, source, made, cluster):
    found = cj.find_backends([source])
    mark = tmp_path / "killed"

    def mortal(backend):
        known = {n: getattr(backend, n) for n in ("name", "num_requests", "inputs")}
        return Mortal(backend, mark, os.getpid(), **known)

    backends = [mortal(found[0]), *found[1:]]
    asked = {"engine": "ray", "slice_rows": fleet.SLICE}
    cj.make_ledger(backends, fleet.system(), tmp_path / "ledger", **asked)
    assert int(mark.read_text()) != os.getpid()
    assert fleet.content(tmp_path / "ledger") == fleet.content(made.folder)


def test_what_a_task_raises_is_raised_as_it_is(tmp_path, source, two_lanes, cluster):
    small = fleet.system(kv_capacity_tokens=100)
    with pytest.raises(cj.WorkloadError, match="KV cache") as caught:
        fleet.make(source, tmp_path / "ledger", of=small, engine="ray", workers=None)
    assert caught.value.file and caught.value.row
