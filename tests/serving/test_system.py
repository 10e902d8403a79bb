"""Systems from names, files and bad settings."""

import datetime as dt
import importlib

import jax
import numpy as np
import pytest

import carbjax as cj
from carbjax._hardware import accelerator
from carbjax._surrogate.parameter_files import available_accelerators, fitted_power

WORKLOAD = cj.Workload([0.0, 0.1], [100, 200], [10, 20])


def test_a_file_and_arguments_describe_the_same_system(tmp_path):
    config = tmp_path / "system.toml"
    config.write_text(
        "[system]\naccelerator = 'b200-sxm'\nmodel = 'qwen3-8b'\npolicy = 'static'\n"
        "max_num_seqs = 4\ncarbon_intensity = 250.0\npue = 1.2\n"
    )
    named = cj.System.load(
        "b200-sxm",
        "qwen3-8b",
        policy="static",
        max_num_seqs=4,
        carbon_intensity=250.0,
        pue=1.2,
    )
    from_file = cj.System.from_toml(config)
    ours, theirs = cj.serve(WORKLOAD, from_file), cj.serve(WORKLOAD, named)
    assert ours.carbon_g == theirs.carbon_g > 0
    assert ours.end_s == theirs.end_s


@pytest.mark.parametrize(
    "setting",
    [
        {"policy": "fifo"},
        {"provisioning": "sometimes"},
        {"max_num_seqs": 0},
        {"max_num_batched_tokens": -1},
        {"kv_capacity_tokens": 2**31},
        {"pue": 0.9},
        {"accelerator": "h300"},
        {"model": "llama-9"},
        {"tensor_parallel": 3},
    ],
)
def test_a_bad_setting_is_refused_by_name(setting):
    (name,) = setting
    word = {"accelerator": "h300", "model": "llama-9"}.get(name, name)
    with pytest.raises(cj.ConfigError, match=word):
        cj.System.load(**setting)


def test_a_request_that_can_never_run_is_named():
    workload = cj.Workload([0.0, 1.0], [10, 90], [5, 20], request_ids=("short", "long"))
    with pytest.raises(cj.WorkloadError, match="'long' needs 110"):
        cj.serve(workload, cj.System.load(kv_capacity_tokens=100))


def test_a_series_needs_an_epoch_and_must_cover_the_run():
    hours = cj.Intensity([0.0, 3600.0], [300.0])
    system = cj.System.load(carbon_intensity=hours)
    with pytest.raises(cj.WorkloadError, match="epoch"):
        cj.serve(WORKLOAD, system)
    late = dt.datetime(1970, 1, 1, 0, 59, 59, 950000, dt.UTC)
    workload = cj.Workload([0.0, 0.1], [100, 200], [10, 20], epoch=late)
    with pytest.raises(cj.IntensityError, match="covers"):
        cj.serve(workload, system)


def test_steps_come_on_request_in_the_workload_s_order():
    system = cj.System.load()
    workload = cj.Workload([0.5, 0.0], [100, 200], [10, 20])
    timeline = cj.serve(workload, system, steps=True)
    assert cj.serve(workload, system).steps is None
    steps = timeline.steps
    assert steps.num_iterations.sum() == timeline.num_iterations
    assert steps.batch.prefilling[0].tolist() == [False, True]
    first_prefill = steps.start[steps.batch.prefilling[:, 0]][0]
    assert first_prefill + timeline.start_s == pytest.approx(timeline.scheduled_s[0])


def test_whole_numbers_as_features_cost_what_floats_cost():
    system = cj.System.load()
    counts = (8, 8, 0, 0, 8, 800, 80000)
    whole = system.iteration_cost(cj.BatchFeatures(*counts))
    assert whole == system.iteration_cost(cj.BatchFeatures(*map(float, counts)))
    operators = system.operator_costs(cj.BatchFeatures(*counts))
    latency = sum(float(t) for t, _ in operators.values())
    assert latency == pytest.approx(float(whole[0]), rel=1e-9)


def test_a_gpu_of_one_s_own_takes_a_cost_of_one_s_own():
    known = cj.System.load()
    fields = {**vars(known.accelerator), "name": "mine"}
    mine = cj.Accelerator(**fields)
    with pytest.raises(cj.ConfigError, match="mine"):
        cj.System.load(mine)
    system = cj.System.load(mine, cost=known.cost)
    ours, theirs = cj.serve(WORKLOAD, system), cj.serve(WORKLOAD, known)
    assert ours.carbon_g == theirs.carbon_g


def test_results_outside_the_fitted_box_are_flagged():
    inside = cj.attribute(WORKLOAD, cj.System.load())
    assert not inside.flags
    long = cj.Workload([0.0], [120_000], [2])
    assert any("fitted to" in flag for flag in cj.attribute(long, cj.System.load()).flags)


def test_table_and_fit_agree_on_the_active_idle_power():
    for name in available_accelerators():
        table, fit = accelerator(name), fitted_power(name)
        assert table.active_idle_power == pytest.approx(fit["active_idle_power"], rel=1e-4)
        assert table.idle_power == fit["idle_power"]


def test_a_clock_of_32_bits_refuses_what_it_cannot_tell_apart():
    workload = cj.Workload([0.0, 20_000.0], [10, 10], [2, 2])
    cj.serve(workload, cj.System.load())
    with jax.enable_x64(False), pytest.raises(cj.WorkloadError, match="64 bits"):
        cj.serve(workload, cj.System.load())


def test_the_window_holds_the_first_arrival():
    system = cj.System.load()
    game = cj.ServingGame(WORKLOAD, system, window_s=(-1.0, 5.0))
    wider = cj.ServingGame(WORKLOAD, system, window_s=(-1.0, 8.0))
    nobody = np.zeros(2, bool)
    assert float(wider(nobody)) == pytest.approx(1.5 * float(game(nobody)), rel=1e-9)
    with pytest.raises(cj.WorkloadError, match="window_s"):
        cj.ServingGame(WORKLOAD, system, window_s=(0.05, 5.0))


def test_a_coalition_that_ends_after_the_series_is_no_result():
    """Without the first request the third misses the second's batch, and waits for it."""
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    workload = cj.Workload([0.0, 0.05, 0.1], [10, 10, 10], [30, 100, 100], epoch=epoch)
    end = cj.serve(workload, cj.System.load(policy="static")).end_s
    hours = cj.Intensity([0.0, end + 1e-3], [300.0])
    system = cj.System.load(policy="static", carbon_intensity=hours)
    assert cj.serve(workload, system).carbon_g > 0
    for method in ("shapley", "leave_one_out"):
        with pytest.raises(cj.InputError, match="not a finite number"):
            cj.attribute(workload, system, method=method)


def test_more_steps_than_memory_holds_are_refused(monkeypatch):
    module = importlib.import_module("carbjax._serving.serve")
    monkeypatch.setattr(module, "_MOST_RECORDED", 1000)
    # Many chunks make many steps.
    system = cj.System.load(max_num_batched_tokens=1)
    with pytest.raises(cj.WorkloadError, match="too many steps"):
        cj.serve(cj.Workload([0.0, 0.0], [400, 400], [1, 1]), system, steps=True)
