"""Systems from names, files and bad settings."""

import pytest

import carbjax as cj

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
    import datetime as dt

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
