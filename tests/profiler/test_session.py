"""The whole measurement, on a CPU and a layer of a few numbers."""

import dataclasses as dc
import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from carbjax._cli import profiling
from carbjax._cli.profiling import Request, run_profile, summary_lines
from carbjax._errors import ProfileError
from carbjax._profiler import SLOW, Device, make_plan, measure_plan, open_gpu, outcome
from carbjax._profiler.point import features
from carbjax._profiles.profile import Profile
from carbjax._profiles.read import read_profile

from .fake_nvml import POWER_W, FakeNvml
from .tiny import CALLS, LAYERS, QUICK, SHAPE

METERED = dc.replace(QUICK, window=0.4, idle=0.4, sample=0.002, max_slope_error=0.02)
FEW = [p for p in CALLS if p.label in ("qkv m=4", "norm m=8")]


PLAN = make_plan(SHAPE, points=(*CALLS, *LAYERS))


@pytest.fixture
def tiny_plan(monkeypatch):
    monkeypatch.setattr(profiling, "_plan", lambda request: PLAN)


@pytest.fixture(scope="module")
def times(tmp_path_factory):
    """The answer and the file of a run that measures times alone."""
    out = tmp_path_factory.mktemp("profile") / "times.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profiling, "_plan", lambda request: PLAN)
        request = Request("llama-3.1-8b", out=str(out), time_only=True)
        return run_profile(request, protocol=QUICK), out


def _metered(fake, points=FEW, protocol=METERED):
    # Without idle points: this GPU draws the same at all times.
    plan = make_plan(SHAPE, points=points, blocks=["mlp", "elementwise"])
    measured = measure_plan(plan, open_gpu(fake), SLOW, protocol)
    device = Device("NVIDIA H200", 700.0, None)
    return outcome(plan, measured, device, protocol, tensor_parallel=1)


def test_times_alone_become_a_profile_that_reads_back(times):
    answer, out = times
    assert [path.name for path in out.parent.iterdir()] == ["times.parquet"]
    assert answer["num_rows"] == len(PLAN)
    assert "latency alone" in "\n".join(summary_lines(answer))
    checked = {check["label"] for check in answer["additivity_percent"]}
    assert checked == {point.label for point in LAYERS}
    profile = read_profile(out)
    assert np.isnan(profile.power_w).all() and (profile.latency_s > 0).all()


def test_the_file_tells_how_it_was_made(times):
    told = json.loads(pq.read_schema(times[1]).metadata[b"carbjax_profiler"])
    assert told["protocol"]["window"] == QUICK.window
    assert told["metered"] is False and told["power_limit_w"] is None
    assert told["additivity_percent"] and told["jax"] and told["date"]
    assert len(told["points"]) == len(PLAN)


def test_rows_carry_the_features_of_their_points(times):
    rows = pq.read_table(times[1]).to_pylist()
    for point, row in zip(PLAN.points, rows, strict=True):
        assert (row["operator"], row["label"]) == (point.operator, point.name)
        assert row["weight"] == (point.block not in ("idle", "layer"))
        for name, value in features(point, SHAPE).items():
            assert row[name] == value


def test_power_is_that_of_the_meter():
    found = _metered(FakeNvml())
    assert np.allclose(found.profile.power_w, POWER_W, rtol=0.03)
    assert np.allclose(
        found.profile.energy_j, found.profile.power_w * found.profile.latency_s
    )
    assert abs(found.instant_difference) < 0.03
    assert (found.profile.sm_clock_hz == 1.98e9).all() and found.num_hot == 0


def test_windows_slowed_by_heat_are_repeated_then_counted_and_do_not_count_in_fits():
    fake = FakeNvml()
    fake.throttle = 0x40
    protocol = dc.replace(METERED, max_repeats=1)
    found = _metered(fake, FEW[:1], protocol)
    assert found.num_hot == 1 and found.num_rejected == 2
    assert not found.profile.weight.any() and not found.profile.power_weight.any()


def test_a_counter_that_hardly_moves_is_refused():
    protocol = dc.replace(METERED, window=0.05, max_repeats=0)
    with pytest.raises(ProfileError, match="did not move often enough.*--time-only"):
        _metered(FakeNvml(tick_s=1e4), protocol=protocol)


def test_the_meter_of_another_gpu_is_found_out():
    with pytest.raises(ProfileError, match="another GPU"):
        plan = make_plan(SHAPE, points=FEW)
        measure_plan(plan, open_gpu(FakeNvml()), SLOW, METERED)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_what_breaks_off_leaves_no_file(stop, tiny_plan, tmp_path, monkeypatch):
    def write_a_part_and_stop(table, path):
        path.write_bytes(b"half")
        raise stop

    monkeypatch.setattr(profiling, "measure_plan", lambda *_: [])
    monkeypatch.setattr(profiling, "outcome", lambda *_, **__: _Nothing)
    monkeypatch.setattr(profiling, "metadata", lambda *_: {})
    monkeypatch.setattr(pq, "write_table", write_a_part_and_stop)
    request = Request("m", out=str(tmp_path / "p.parquet"), time_only=True)
    with pytest.raises((KeyboardInterrupt, ValueError)):
        run_profile(request, protocol=QUICK)
    assert not any(tmp_path.iterdir())


class _Nothing:
    profile = Profile.of("gemm", np.array([1e-3]))


def test_faster_than_the_datasheet_is_no_measurement():
    plan = make_plan(SHAPE, points=FEW, blocks=["mlp"])
    slow_gpu = dc.replace(SLOW, memory_bandwidth=1.0)
    measured = measure_plan(plan, None, SLOW, QUICK)
    device = Device("known", math.nan, slow_gpu)
    found = outcome(plan, measured, device, QUICK, tensor_parallel=1)
    assert found.too_fast == ("qkv m=4",) and found.profile.weight.tolist() == [0.0]
