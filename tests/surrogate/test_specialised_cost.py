"""Laws of the iteration cost: signs, slopes, limits, sums, precision."""

import dataclasses as dc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carbjax._hardware.tables as tables
from carbjax._errors import ConfigError
from carbjax._surrogate.features import BatchFeatures
from carbjax._surrogate.model_operators import token_operators
from carbjax._surrogate.parameter_files import available_accelerators, load_fit
from carbjax._surrogate.specialise import load_cost

SYSTEMS = [
    ("h200-sxm", "llama-3.1-8b", 1),
    ("b200-sxm", "llama-3.1-405b", 8),
    ("h100-sxm", "llama-3.1-70b", 4),
    ("a100-sxm", "llama-2-7b", 2),
    ("rtx-pro-6000", "llama-3.1-8b", 1),
]
FIELDS = list(BatchFeatures.__annotations__)


@pytest.fixture(scope="module", params=SYSTEMS, ids=lambda s: f"{s[0]}-{s[1]}-tp{s[2]}")
def cost(request):
    accelerator, model, degree = request.param
    return load_cost(accelerator, tables.model(model), degree)


def batch(num_prompts=2, prompt=700, cached=100, num_decodes=30, context=900):
    """A mixed batch, from what its requests are."""
    new = num_prompts * prompt
    values = (
        new + num_decodes,
        num_prompts + num_decodes,
        num_prompts * (prompt * cached + prompt * (prompt + 1) / 2),
        num_prompts * (prompt + cached),
        num_decodes,
        num_decodes * context,
        num_decodes * context**2,
    )
    return BatchFeatures(*(jnp.asarray(float(v)) for v in values))


def random_batches(size=2000, seed=3):
    """Batches from one token to far beyond the profiles, some parts absent."""
    rng = np.random.default_rng(seed)
    absent = rng.random((4, size)) < 0.25
    log = lambda high: 10 ** rng.uniform(0, high, size)  # noqa: E731
    prompts = np.where(absent[0], 0, log(2))
    prompt, cached = log(4.5), np.where(absent[1], 0, log(5))
    decodes = np.where(absent[2], 0, log(3.5))
    context = log(5.5)
    values = (
        prompts * prompt + decodes,
        prompts + decodes,
        prompts * (prompt * cached + prompt * (prompt + 1) / 2),
        prompts * (prompt + cached),
        decodes,
        decodes * context,
        decodes * context**2,
    )
    return BatchFeatures(*(jnp.asarray(v) for v in values))


def test_costs_are_positive_and_finite_everywhere(cost):
    for features in (random_batches(), batch().scale(jnp.asarray(0.0))):
        latency, energy = cost(features)
        assert jnp.all(jnp.isfinite(latency) & (latency > 0))
        assert jnp.all(jnp.isfinite(energy) & (energy > 0))


@pytest.mark.parametrize("field", FIELDS)
def test_latency_and_energy_never_fall_along_a_feature(cost, field):
    sweep = jnp.asarray(np.concatenate([[0.0], np.geomspace(1e-3, 1e8, 4001)]))
    for base in (batch(), batch(num_prompts=0), batch(num_decodes=0)):
        filled = jax.tree.map(lambda v: jnp.full_like(sweep, v), base)
        features = BatchFeatures(**(vars(filled) | {field: sweep}))
        for value in cost(features):
            rounding = 1e-14 * value[1:]
            assert jnp.all(jnp.diff(value) >= -rounding)


@eqx.filter_jit
def _gradients(cost, batches):
    """Of latency and of energy, along the first axis, by each feature of each batch."""
    return jax.vmap(jax.jacrev(lambda f: jnp.stack(cost(f))), out_axes=1)(batches)


def _stack(batches):
    return jax.tree.map(lambda *values: jnp.stack(values), *batches)


def test_gradients_equal_central_differences(cost):
    base = batch()
    gradients = jax.tree.map(lambda x: x[:, 0], _gradients(cost, _stack([base])))
    for field in FIELDS:
        value = getattr(base, field)
        moved = [
            BatchFeatures(**(vars(base) | {field: value * s})) for s in (1.0001, 0.9999)
        ]
        ahead, behind = jnp.stack(cost(_stack(moved)), axis=1)
        slope, difference = getattr(gradients, field), (ahead - behind) / (2e-4 * value)
        scale = jnp.stack(cost(base)) / value
        assert jnp.all(jnp.abs(slope - difference) <= 1e-4 * jnp.abs(slope) + 1e-9 * scale)


def test_gradients_are_finite_where_features_vanish(cost):
    vanishing = [
        present.scale(jnp.asarray(factor))
        for factor in (0.0, 1e-30, 1e-12)
        for present in (batch(), batch(num_prompts=0), batch(num_decodes=0))
    ]
    for slope in jax.tree.leaves(_gradients(cost, _stack(vanishing))):
        assert slope.shape == (2, 9) and jnp.all(jnp.isfinite(slope))


def test_absent_attention_costs_nothing_and_its_launch_only_while_present(cost):
    zero = jnp.asarray(0.0)
    assert cost.attention_part(zero + 5, zero, zero, zero, zero, zero) == (0.0, 0.0)
    near = batch().scale(jnp.asarray(1e-9))
    costs = cost.operator_costs(near)
    assert costs["prefill_attention"][0] > 1e-6
    assert costs["decode_attention"][0] > 1e-6
    alone = cost.operator_costs(batch(num_prompts=0))
    assert alone["prefill_attention"] == (0.0, 0.0)
    assert alone["attention_interaction"] == (0.0, 0.0)


def test_tokens_vanish_to_a_positive_constant(cost):
    latency, energy = cost.token_part(jnp.asarray([1e-6, 1e-9, 0.0]))
    assert jnp.allclose(latency, latency[-1], rtol=1e-6) and latency[-1] > 1e-4
    assert jnp.allclose(energy, energy[-1], rtol=1e-6) and energy[-1] > 1e-3


def test_cost_is_linear_far_away(cost):
    far = batch().scale(jnp.asarray(1e7))
    for once, twice in zip(cost(far), cost(far.scale(jnp.asarray(2.0))), strict=True):
        assert jnp.allclose(twice, 2 * once, rtol=1e-3)


def test_operators_add_up_to_the_iteration(cost):
    features = random_batches(size=200)
    latency, energy = cost(features)
    parts = cost.operator_costs(features).values()
    assert jnp.allclose(sum(t for t, _ in parts), latency, rtol=1e-12)
    total = cost.num_gpus * sum(t * p for t, p in parts)
    assert jnp.allclose(total, energy, rtol=1e-12)


def test_power_of_an_iteration_stays_between_idle_and_the_limit(cost):
    latency, energy = cost(random_batches())
    power = energy / latency / cost.num_gpus
    assert jnp.all(power > 40.0) and jnp.all(power <= cost.max_power)


def test_energy_splits_add_up_to_the_iteration(cost):
    features = random_batches(size=200)
    splits = cost.energy_split(features)
    _, energy = cost(features)
    assert jnp.allclose(sum(sum(split) for split in splits.values()), energy, rtol=1e-12)
    flops = sum(split.flops for split in splits.values())
    assert jnp.all(flops >= 0) and jnp.any(flops > 0.2 * energy)


def test_curves_are_those_of_the_fitted_operators(cost, request):
    accelerator, model, degree = request.node.callspec.params["cost"]
    fit, tokens = load_fit(accelerator), np.unique(np.geomspace(1, 3e4, 400).round())
    direct = token_operators(fit, tables.model(model), degree)
    for name, form in direct.items():
        exact, _ = form(tokens)
        (latency, *_), step = cost.token_operators[name].curve(tokens), 0.1
        near = [form(tokens * factor)[0] for factor in (1 - step, 1 + step)]
        assert np.all(latency >= 0.995 * near[0]) and np.all(latency <= 1.005 * near[1]), (
            name
        )
        assert abs(np.mean(latency / exact - 1)) < 5e-3, name


def test_float32_agrees_with_float64(cost):
    wide = random_batches()
    narrow = jax.tree.map(lambda x: x.astype(jnp.float32), wide)
    for a, b in zip(cost(narrow), cost(wide), strict=True):
        assert a.dtype == jnp.float32
        assert jnp.allclose(a.astype(jnp.float64), b, rtol=1e-4)


def test_more_gpus_take_less_time_but_more_energy():
    model = tables.model("llama-3.1-70b")
    two, eight = (load_cost("h200-sxm", model, n)(batch()) for n in (2, 8))
    assert eight[0] < two[0] and eight[1] > two[1]


def test_every_shipped_fit_serves_every_model_it_divides():
    for name in available_accelerators():
        for model in tables.MODELS.values():
            latency, energy = load_cost(name, model, 1)(batch())
            assert 1e-3 < latency < 10 and 0.1 < energy < 1e4, (name, model.name)


def test_bad_systems_are_refused_with_the_way_out():
    model = tables.model("llama-3.1-8b")
    with pytest.raises(ConfigError, match="h200-sxm"):
        load_cost("h300", model, 1)
    with pytest.raises(ConfigError, match="tensor_parallel"):
        load_cost("h200-sxm", model, 3)
    odd = tables.model("qwen3-14b")
    assert load_cost("h200-sxm", odd, 8).num_gpus == 8
    with pytest.raises(ConfigError, match="num_heads"):
        load_cost("h200-sxm", dc.replace(odd, num_heads=36, num_kv_heads=4), 8)
