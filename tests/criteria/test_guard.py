"""Each way of being wrong is named, and nothing escapes."""

import pytest

from carbjax._criteria.guard import Refusal, run_guarded
from carbjax._serving.serve import serve
from carbjax._workload import Workload
from tests.criteria.sinners import SINS, by_tokens, tiny_system

SYSTEM = tiny_system()
WORKLOAD = Workload([0.0, 0.1, 0.2], [30, 200, 9], [5, 9, 40])


@pytest.fixture(scope="module")
def timeline():
    return serve(WORKLOAD, SYSTEM)


def _guarded(method, timeline, **more):
    return run_guarded(method, workload=WORKLOAD, system=SYSTEM, timeline=timeline, **more)


def test_a_sound_method_passes(timeline):
    found = _guarded(by_tokens, timeline)
    assert not isinstance(found, Refusal)
    assert found.residual == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("sin", SINS)
def test_a_sin_is_named(sin, timeline):
    found = _guarded(SINS[sin], timeline)
    assert isinstance(found, Refusal)
    assert found.sin == sin
    assert "\n" not in found.reason and found.method == SINS[sin].__name__


def test_shares_of_another_total_are_open(timeline):
    """A method that closes on a total of its own is held against what was emitted."""
    found = _guarded(by_tokens, timeline, whole_g=1.01 * timeline.carbon_g)
    assert isinstance(found, Refusal) and found.sin == "open"


def test_a_refusal_of_ours_is_a_reason(timeline):
    found = run_guarded("shapley", workload=WORKLOAD, system=SYSTEM, timeline=timeline)
    assert isinstance(found, Refusal) and "`game`" in found.reason
