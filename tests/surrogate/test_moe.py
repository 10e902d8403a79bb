"""Laws of a mixture of experts: who is touched, and that cost only grows."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._errors import ProfileError
from carbjax._surrogate.moe import Moe

MOE = Moe(2e-5, 8e-10, 8e-8, 2.2e-13, 5e-13, 1.7e-15, 1.7)
QWEN = dict(hidden=2048.0, expert_size=768.0, num_experts=128.0, experts_per_token=8.0)
TOKENS = jnp.asarray(np.geomspace(1e-3, 1e6, 400))


@pytest.mark.parametrize("spread", [0.5, 1.7, 50.0])
def test_one_token_touches_its_experts_and_many_touch_all(spread):
    moe = Moe(**(vars(MOE) | {"spread": spread}))
    touched = moe.touched(jnp.asarray([0.0, 1.0, 1e9]), 128.0, 8.0)
    assert touched[0] == 0
    assert touched[1] == pytest.approx(8.0, rel=1e-12)
    assert touched[2] == pytest.approx(128.0, rel=1e-3)


def test_even_odds_touch_what_drawing_at_random_does():
    rng = np.random.default_rng(0)
    draws = [rng.permuted(np.tile(np.arange(16), (20, 1)), axis=1) for _ in range(500)]
    drawn = np.mean([len(np.unique(tokens[:, :3])) for tokens in draws])
    even = Moe(**(vars(MOE) | {"spread": 1e6}))
    assert even.touched(20.0, 16.0, 3.0) == pytest.approx(drawn, rel=5e-3)


def test_skewed_routing_touches_fewer_experts():
    even = Moe(**(vars(MOE) | {"spread": 1e6}))
    some = jnp.asarray([2.0, 16.0, 100.0])
    assert jnp.all(MOE.touched(some, 128.0, 8.0) < even.touched(some, 128.0, 8.0))


@pytest.mark.parametrize("of", ["latency", "bytes_moved", "flops"])
def test_cost_rises_with_tokens_and_is_linear_far_away(of):
    sizes = {k: v for k, v in QWEN.items() if of != "flops" or k != "num_experts"}
    cost_fn = lambda tokens: getattr(MOE, of)(tokens, **sizes)  # noqa: E731
    slopes = jax.vmap(jax.grad(cost_fn))(TOKENS)
    assert jnp.all(slopes > 0)
    assert jnp.all(jnp.diff(slopes) <= 1e-12 * slopes[0])  # concave
    assert slopes[-1] == pytest.approx(float(jax.grad(cost_fn)(1e9)), rel=1e-3)
    assert cost_fn(0.0) >= 0


def test_a_layer_with_all_experts_touched_takes_its_bytes_and_flops():
    tokens = 1e7
    pairs, weights = tokens * 8, 128 * 3 * 2048 * 768 * 2
    activations = 2 * (2 * 2048 + 3 * 768)
    assert MOE.flops(tokens, 2048.0, 768.0, 8.0) == pytest.approx(pairs * 6 * 2048 * 768)
    moved = MOE.bytes_moved(tokens, **QWEN)
    assert moved == pytest.approx(weights + pairs * activations, rel=1e-6)
    seconds = 2.2e-13 * weights + pairs * (5e-13 * activations + 1.7e-15 * 6 * 2048 * 768)
    assert MOE.latency(tokens, **QWEN) == pytest.approx(seconds, rel=1e-3)


def test_a_gpu_with_twice_the_rates_takes_half_the_time_past_the_launches():
    twice = MOE.carried(2.0, 2.0)
    launches = MOE.launch + MOE.depth_latency * (2048 + 768)
    past = MOE.latency(TOKENS, **QWEN) - launches
    assert jnp.allclose(twice.latency(TOKENS, **QWEN) - launches, past / 2, rtol=1e-9)


def test_a_record_survives_json():
    record = json.loads(json.dumps(MOE.to_record()))
    assert Moe.from_record(record) == MOE


@pytest.mark.parametrize("change", [{"flop": -1.0}, {"launches": 1.0}, {"spread": 0.0}])
def test_records_of_something_else_are_refused(change):
    with pytest.raises(ProfileError, match="positive numbers for launch"):
        Moe.from_record(MOE.to_record() | change)
