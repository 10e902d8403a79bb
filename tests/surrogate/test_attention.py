"""Laws of the attention cost that the engine runs, on the forms that were fitted."""

import dataclasses as dc
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._fitting.attention_cone import cone
from carbjax._hardware.model import ModelShape
from carbjax._serving.rule import discrete_gauss
from carbjax._surrogate.attention_cost import AttentionCost, attention_costs
from carbjax._surrogate.attention_forms import KernelFit, SharedKernel
from carbjax._surrogate.power import PowerModel


def _kernel(seed, *, kv_knots, scale):
    """A kernel fit with random non-negative weights of the monotone pieces."""
    rng = np.random.default_rng(seed)
    token_knots, lengths = np.array([16.0, 400.0]), np.array([30.0, 900.0])
    pair_knots = np.array([1e4, 1e6])
    pieces = cone(token_knots, pair_knots, lengths, kv_knots)
    nodes = []
    for _ in range(4):
        weights = rng.exponential(size=len(pieces)) * (rng.random(len(pieces)) < 0.3)
        matrix = np.einsum("p,pfc->fc", weights, pieces) * scale * 1e-3
        matrix[0, 0] = scale
        nodes.append(matrix)
    return KernelFit(
        token_knots=token_knots,
        pair_knots=pair_knots,
        lengths=lengths,
        kv_knots=np.array([] if kv_knots is None else kv_knots),
        heads=np.array([4.0, 64.0]),
        groups=np.array([1.0, 8.0]),
        coefficients=np.stack(nodes).reshape(2, 2, *nodes[0].shape),
    )


@pytest.fixture(scope="module")
def cost() -> AttentionCost:
    power = PowerModel(120.0, 600.0, 1e-10, 1e-12)
    fit = types.SimpleNamespace(
        prefill=_kernel(0, kv_knots=np.array([3e3]), scale=1e-5),
        decode=_kernel(1, kv_knots=None, scale=1.2e-5),
        shared_kernel=SharedKernel(_kernel(2, kv_knots=None, scale=0.0), 0.7, 8.0),
        power={"prefill_attention": power, "decode_attention": power},
    )
    model = ModelShape(
        name="some",
        num_layers=32,
        hidden_size=4096,
        num_heads=32,
        num_kv_heads=8,
        head_dim=128,
        intermediate_size=14336,
        vocab_size=128256,
    )
    (cost,) = attention_costs(fit, model, 1)
    return cost


def _batches(count, seed=0):
    """Features of batches of prefill chunks, decode requests and both."""
    rng = np.random.default_rng(seed)
    chunks = rng.integers(0, 4, count)
    new = np.ceil(np.exp(rng.uniform(0, 8, count)))
    cached = np.floor(np.exp(rng.uniform(0, 10, count))) * (rng.random(count) < 0.5)
    requests = np.floor(np.exp(rng.uniform(0, 6, count))) * (rng.random(count) < 0.8)
    context = np.exp(rng.uniform(1, 10, count))
    features = (
        chunks * new + requests,
        chunks * (new * cached + new * (new + 1) / 2),
        chunks * (new + cached),
        requests,
        requests * context,
    )
    return tuple(jnp.asarray(f, dtype=float) for f in features)


def _total(cost, *features, of):
    return cost(*features)[of]


@pytest.mark.parametrize("of", (0, 1), ids=("latency", "energy"))
@pytest.mark.parametrize("which", range(5), ids="T A R B K".split())
def test_no_feature_makes_attention_cheaper(cost, which, of):
    batch = _batches(4000)
    more = 10.0 ** np.random.default_rng(1).uniform(-2, 5, 4000)
    larger = tuple(f + more if i == which else f for i, f in enumerate(batch))
    before, after = _total(cost, *batch, of=of), _total(cost, *larger, of=of)
    assert bool(jnp.all(after >= before * (1 - 1e-12)))


def test_what_is_absent_costs_nothing(cost):
    t, a, r, b, k = _batches(50, seed=2)
    zero = jnp.zeros(50)
    alone = cost.operators(b + 1, zero, zero, b + 1, k + 1)
    assert not any(jnp.any(x) for x in jax.tree.leaves(alone["prefill_attention"]))
    assert not any(jnp.any(x) for x in jax.tree.leaves(alone["attention_interaction"]))
    assert bool(jnp.all(alone["decode_attention"][0] > 0))
    alone = cost.operators(t + 1, a + 1, r + 1, zero, zero)
    assert not any(jnp.any(x) for x in jax.tree.leaves(alone["decode_attention"]))
    assert not any(jnp.any(x) for x in jax.tree.leaves(alone["attention_interaction"]))
    assert bool(jnp.all(alone["prefill_attention"][0] > 0))


def test_parts_add_up_to_the_whole(cost):
    latency, energy = cost(*_batches(200, seed=6))
    parts = cost.operators(*_batches(200, seed=6)).values()
    assert jnp.allclose(sum(t for t, _ in parts), latency, rtol=1e-12)
    assert jnp.allclose(sum(sum(split) for _, split in parts), energy, rtol=1e-12)


def test_a_window_beyond_every_context_changes_nothing(cost):
    batch = _batches(200, seed=7)
    wide = dc.replace(cost, window=jnp.asarray(1e12))
    for a, b in zip(wide(*batch), cost(*batch), strict=True):
        assert jnp.allclose(a, b, rtol=1e-4)
    narrow = dc.replace(cost, window=jnp.asarray(100.0))
    for a, b in zip(narrow(*batch), cost(*batch), strict=True):
        assert jnp.all(a <= b * (1 + 1e-12)) and jnp.any(a < 0.8 * b)


def test_gradients_are_finite_and_those_of_finite_differences(cost):
    def total(*features):
        return _total(cost, *features, of=1)

    batch = tuple(f + 1.0 for f in _batches(40, seed=3))
    gradient = jax.vmap(jax.grad(total, argnums=tuple(range(5))))(*batch)
    for which in range(5):
        step = 1e-4 * batch[which]
        up = [f + step if i == which else f for i, f in enumerate(batch)]
        down = [f - step if i == which else f for i, f in enumerate(batch)]
        slope = (total(*up) - total(*down)) / (2 * step)
        assert jnp.allclose(gradient[which], slope, rtol=1e-4, atol=1e-12)
    at_zero = jax.grad(total, argnums=tuple(range(5)))(*[jnp.zeros(())] * 5)
    assert bool(jnp.all(jnp.isfinite(jnp.stack(at_zero))))


def test_cost_is_linear_far_away(cost):
    far = tuple(1e9 * (f + 1) for f in _batches(50, seed=4))
    for of in (0, 1):
        once = _total(cost, *far, of=of)
        twice = _total(cost, *[2 * f for f in far], of=of)
        assert jnp.allclose(twice, 2 * once, rtol=1e-3)


@pytest.mark.parametrize("requests", (1.0, 7.0, 64.0, 400.0))
@pytest.mark.parametrize("iterations", (4, 30, 300))
def test_three_nodes_sum_a_decode_run(cost, requests, iterations):
    def latency(j):
        zero = jnp.zeros_like(j)
        kv = requests * (iterations + 1.0 * j)  # doubles over the run
        return _total(cost, zero, zero, zero, jnp.full_like(j, requests), kv, of=0)

    nodes, weights = discrete_gauss(jnp.asarray(float(iterations)))
    exact = jnp.sum(latency(jnp.arange(float(iterations))))
    assert jnp.allclose(jnp.sum(weights * latency(nodes)), exact, rtol=1e-6)


def test_single_precision_is_close(cost):
    batch = _batches(200, seed=5)
    narrow = tuple(f.astype(jnp.float32) for f in batch)
    for of in (0, 1):
        wide, small = _total(cost, *batch, of=of), _total(cost, *narrow, of=of)
        assert small.dtype == jnp.float32
        assert jnp.allclose(small, wide.astype(jnp.float32), rtol=3e-5)


def test_a_record_gives_the_kernel_back():
    kernel = _kernel(7, kv_knots=np.array([2e3]), scale=1e-5)
    back = KernelFit.from_record(kernel.to_record())
    for name in vars(kernel):
        assert np.allclose(getattr(back, name), getattr(kernel, name), rtol=1e-5)


def test_between_geometries_the_form_lies_between():
    kernel = _kernel(8, kv_knots=None, scale=1e-5)
    x, y = jnp.asarray(50.0), jnp.asarray(4e4)

    def at(heads):
        form = kernel.at(heads, 1.0, pair_scale=heads)
        return form(x / heads, y / heads)

    low, middle, high = at(4.0), at(16.0), at(64.0)
    assert jnp.allclose(middle, (low + high) / 2)
