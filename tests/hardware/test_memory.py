"""KV capacity: weights and cache fill the memory, and errors name the way out."""

import pytest

from carbjax._errors import ConfigError
from carbjax._hardware import accelerator, kv_capacity_tokens, model


@pytest.mark.parametrize("tensor_parallel", [1, 2, 4, 8])
def test_weights_and_cache_fill_the_usable_memory(tensor_parallel):
    gpu, shape = accelerator("h200-sxm"), model("qwen3-32b")
    tokens = kv_capacity_tokens(gpu, shape, tensor_parallel, memory_fraction=0.8)
    usable = 0.8 * gpu.memory_bytes * tensor_parallel
    used = shape.weight_bytes + tokens * shape.kv_bytes_per_token
    assert used <= usable < used + 2 * shape.kv_bytes_per_token


def test_more_gpus_than_key_value_heads_copy_the_cache():
    gpu, shape = accelerator("h100-sxm"), model("llama-3.1-8b")
    tokens = kv_capacity_tokens(gpu, shape, tensor_parallel=16)
    usable = 16 * 0.9 * gpu.memory_bytes - shape.weight_bytes
    assert tokens == pytest.approx(usable / (2 * shape.kv_bytes_per_token), rel=1e-5)


def test_a_model_that_does_not_fit_is_told_how_it_would():
    gpu, shape = accelerator("h100-sxm"), model("llama-3.1-70b")
    with pytest.raises(ConfigError, match="Use tensor_parallel=2"):
        kv_capacity_tokens(gpu, shape)
    assert kv_capacity_tokens(gpu, shape, tensor_parallel=2) > 0


@pytest.mark.parametrize("tensor_parallel", [0, -1, 3, 1.5, 128])
def test_degrees_that_do_not_split_the_heads_are_refused(tensor_parallel):
    with pytest.raises(ConfigError, match="Choose one of 1, 2, 4, 8, 16, 32, 64"):
        kv_capacity_tokens(accelerator("h100-sxm"), model("llama-3.1-70b"), tensor_parallel)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
def test_the_memory_fraction_is_a_fraction(fraction):
    with pytest.raises(ConfigError, match="memory_fraction"):
        kv_capacity_tokens(accelerator("h100-sxm"), model("qwen3-8b"), 1, fraction)
