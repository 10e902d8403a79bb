"""The shipped tables: published facts, sources, and the way out of a wrong name."""

import tomllib

import pytest

from carbjax._errors import ConfigError
from carbjax._hardware import (
    ACCELERATORS,
    MODELS,
    Accelerator,
    ModelShape,
    accelerator,
    caveats,
    model,
    sources,
)

# Parameters of the checkpoints, in billions, as their model cards state them.
PUBLISHED_BILLIONS = {
    "llama-2-7b": 6.74,
    "llama-2-70b": 68.98,
    "llama-3.1-8b": 8.03,
    "llama-3.1-70b": 70.55,
    "llama-3.1-405b": 405.85,
    "qwen3-8b": 8.19,
    "qwen3-14b": 14.77,
    "qwen3-32b": 32.76,
    "qwen3-30b-a3b": 30.53,
    "qwen3-235b-a22b": 235.09,
    "gemma-3-12b": 11.77,
    "gemma-3-27b": 27.01,
}


def test_models_have_the_published_number_of_parameters():
    assert set(MODELS) == set(PUBLISHED_BILLIONS)
    for name, billions in PUBLISHED_BILLIONS.items():
        assert model(name).num_parameters == pytest.approx(billions * 1e9, rel=1e-3)


def test_kv_cache_of_a_token_is_what_the_model_papers_say():
    assert model("llama-2-7b").kv_bytes_per_token == 512 * 1024
    assert model("llama-3.1-8b").kv_bytes_per_token == 128 * 1024
    assert model("llama-3.1-70b").kv_bytes_per_token == 320 * 1024


def test_a_mixture_of_experts_uses_a_tenth_of_its_parameters_a_token():
    shape = model("qwen3-30b-a3b")
    expert = 3 * shape.hidden_size * shape.expert_intermediate_size
    idle = shape.num_moe_layers * (shape.num_experts - shape.experts_per_token) * expert
    # The model card: 3.3 billion activated.
    assert shape.num_parameters - idle == pytest.approx(3.3e9, rel=0.02)


def test_dense_layers_of_a_mixture_have_the_dense_size():
    shape = model("qwen3-30b-a3b")
    fields = {name: getattr(shape, name) for name in ModelShape.__dataclass_fields__}
    mixed = ModelShape(**{**fields, "num_dense_layers": 3})
    mixture = shape.num_experts * shape.hidden_size * (3 * 768 + 1)
    dense = 3 * shape.hidden_size * shape.intermediate_size
    assert mixed.num_moe_layers == 45
    assert shape.num_parameters - mixed.num_parameters == 3 * (mixture - dense)


def test_gemma_has_a_global_layer_after_five_local_ones():
    for name in ("gemma-3-12b", "gemma-3-27b"):
        shape = model(name)
        assert shape.sliding_window == 1024
        assert shape.num_layers - shape.sliding_layers == shape.num_layers // 6


@pytest.mark.parametrize("name", ACCELERATORS)
def test_accelerators_agree_with_the_hardware_table(name, shared_data):
    import csv

    system = {"rtx-pro-6000": "rtx_pro_6000_server"}.get(name, name.replace("-", "_"))
    with open(shared_data / "aiconfigurator" / "hardware.csv") as file:
        row = next(row for row in csv.DictReader(file) if row["system"] == system)
    gpu = accelerator(name)
    assert gpu.max_power == float(row["gpu_tdp_w"])
    assert gpu.memory_bytes == float(row["mem_capacity_bytes"])
    assert gpu.memory_bandwidth == float(row["mem_bw_bytes_per_s"])
    assert gpu.peak_flops == pytest.approx(float(row["bf16_dense_flops"]), rel=1e-4)
    assert gpu.gpus_per_server == int(row["gpus_per_node"])


@pytest.mark.parametrize("name", [*ACCELERATORS, *MODELS])
def test_every_number_has_a_source(name):
    table = sources(name)
    assert all(table.values())
    if name in ACCELERATORS:
        fields = set(Accelerator.__dataclass_fields__) - {"name"}
        assert set(table) == fields


@pytest.mark.parametrize("name", ["h200-sxm", "b200-sxm"])
def test_values_that_stand_in_are_flagged(name):
    assert "stands in" in caveats(name)["embodied_carbon_kg"]
    assert "embodied_carbon_kg" not in caveats("h100-sxm")


def test_embodied_rate_spreads_gpu_and_server_over_the_lifetime():
    gpu = accelerator("h100-sxm")
    grams = gpu.embodied_rate * gpu.lifetime_years * 365.25 * 86400
    assert grams == pytest.approx(1000 * (164 + 5700 / 8))


@pytest.mark.parametrize(
    "look_up, near", [(accelerator, "h200-sxm"), (model, "llama-3.1-8b")]
)
def test_a_wrong_name_gets_a_suggestion_and_the_list(look_up, near):
    table = ACCELERATORS if look_up is accelerator else MODELS
    with pytest.raises(ConfigError, match=f"Did you mean '{near}'") as caught:
        look_up(near.upper()[:-1])
    assert all(name in str(caught.value) for name in table)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_layers": 0}, "below 1"),
        ({"num_kv_heads": 5}, "no multiple"),
        ({"num_experts": 8}, "all three"),
        ({"experts_per_token": 2}, "all three"),
        (
            {"num_experts": 8, "experts_per_token": 8, "expert_intermediate_size": 64},
            "fewer experts",
        ),
        (
            {"num_experts": 8, "experts_per_token": -1, "expert_intermediate_size": 64},
            "all three",
        ),
        ({"num_dense_layers": 1}, "without experts"),
        ({"sliding_window": 1024}, "or neither"),
        ({"sliding_layers": 4}, "or neither"),
        ({"sliding_window": 1024, "sliding_layers": 99}, "1 to 36 layers"),
        ({"sliding_window": -1, "sliding_layers": 4}, "or neither"),
    ],
)
def test_impossible_shapes_are_refused(change, message):
    fields = {
        name: getattr(model("qwen3-8b"), name) for name in ModelShape.__dataclass_fields__
    }
    with pytest.raises(ConfigError, match=message):
        ModelShape(**{**fields, **change})


@pytest.mark.parametrize(
    "change", [{"idle_power": 500.0}, {"active_idle_power": 800.0}, {"max_power": -1.0}]
)
def test_impossible_powers_are_refused(change):
    gpu = accelerator("h100-sxm")
    fields = {name: getattr(gpu, name) for name in Accelerator.__dataclass_fields__}
    with pytest.raises(ConfigError, match="h100-sxm"):
        Accelerator(**{**fields, **change})


def test_the_tables_are_valid_toml_with_one_line_a_number():
    import importlib.resources

    text = importlib.resources.files("carbjax._hardware").joinpath("accelerators.toml")
    for entry in tomllib.loads(text.read_text("utf-8")).values():
        assert all(set(item) <= {"value", "source", "flag"} for item in entry.values())
