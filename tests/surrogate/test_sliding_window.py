"""A window's features against sums over requests, and the laws they keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._surrogate.sliding_window import windowed

WINDOW = 1024
PREFILL = ("prefill_tokens", "prefill_pairs", "prefill_kv")


def features(chunks=(), contexts=()):
    """The five sums of chunks (new, cached) and of decode requests, one request a time."""
    totals = np.zeros(5)
    for new, cached in chunks:
        totals[:3] += new, sum(range(cached + 1, cached + new + 1)), cached + new
    for context in contexts:
        totals[3:] += 1, context
    return jnp.asarray(totals)


def seen(chunks=(), contexts=()):
    """Query-key pairs of chunks and cached tokens of decodes that a window sees."""
    pairs = sum(
        min(position, WINDOW)
        for new, cached in chunks
        for position in range(cached + 1, cached + new + 1)
    )
    return pairs, sum(min(context, WINDOW) for context in contexts)


def random_batches(num=2000, seed=0):
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 20, num)
    new, cached = np.exp(rng.uniform(0, 9, num)), np.exp(rng.uniform(0, 10, num))
    cached = np.where(rng.random(num) < 0.5, cached, 0.0)
    pairs = new * cached + new * (new + 1) / 2
    contexts = np.exp(rng.uniform(0, 10, num))
    sums = (new * count, pairs * count, (new + cached) * count, count * 1.0)
    return [jnp.asarray(x) for x in (*sums, contexts * count)]


@pytest.mark.parametrize("new, cached", [(64, 0), (4000, 0), (512, 3000), (700, 600)])
@pytest.mark.parametrize("count", [1, 5])
def test_equal_chunks_see_the_pairs_that_a_loop_counts(new, cached, count):
    chunks = [(new, cached)] * count
    got = windowed(*features(chunks), WINDOW).prefill_pairs
    assert got == pytest.approx(seen(chunks)[0], rel=2e-3)


@pytest.mark.parametrize("context", [16, 300, 4000, 50000])
def test_even_contexts_are_cut_at_the_window_away_from_it(context):
    contexts = [context] * 8
    got = windowed(*features((), contexts), WINDOW).decode_kv
    assert got == pytest.approx(seen((), contexts)[1], rel=2e-3)


def test_a_batch_far_below_the_window_is_left_as_it_is():
    batch = features([(100, 0), (40, 60)], [20, 90])
    got = jnp.stack(windowed(*batch, 1e6))
    assert jnp.allclose(got, batch, rtol=1e-4)


def test_an_empty_batch_stays_empty_and_has_finite_slopes():
    zero = jnp.zeros(())
    assert jnp.all(jnp.stack(windowed(zero, zero, zero, zero, zero, WINDOW)) == 0)
    slopes = jax.jacobian(lambda x: jnp.stack(windowed(*x, WINDOW)))(jnp.zeros(5))
    assert jnp.all(jnp.isfinite(slopes))


@pytest.mark.parametrize("factor", [0.1, 7.0])
def test_features_grow_along_the_ray_from_the_empty_batch(factor):
    batches = random_batches()
    scaled = windowed(*(factor * x for x in batches), WINDOW)
    for got, once in zip(scaled, windowed(*batches, WINDOW), strict=True):
        assert jnp.allclose(got, factor * once, rtol=1e-10)


def test_no_feature_falls_where_another_rises_or_exceeds_its_own():
    batches = random_batches()
    slopes = jax.vmap(jax.jacobian(lambda x: jnp.stack(windowed(*x, WINDOW))))
    jacobian = slopes(jnp.stack(batches, axis=1))
    scale = jnp.stack(batches, axis=1)[:, :, None] / jnp.stack(batches, axis=1)[:, None, :]
    assert jnp.all(jacobian / scale > -1e-6)
    for got, whole in zip(windowed(*batches, WINDOW), batches, strict=True):
        assert jnp.all(got <= whole * (1 + 1e-9))


@pytest.mark.parametrize("trace", ["conv", "code"])
def test_real_contexts_are_overstated_less_than_half_as_much_as_in_full(trace, shared_data):
    import pyarrow.csv as pacsv

    file = shared_data / f"azure_llm_2023/AzureLLMInferenceTrace_{trace}.csv"
    prompts = pacsv.read_csv(file)["ContextTokens"].to_numpy()
    contexts = np.random.default_rng(0).choice(prompts, (200, 64)).astype(float)
    exact = np.minimum(contexts, WINDOW).sum()
    zero, batch = jnp.zeros(200), jnp.full(200, 64.0)
    sums = jnp.asarray(contexts.sum(axis=1))
    got = windowed(zero, zero, zero, batch, sums, WINDOW).decode_kv.sum()
    assert exact < got < exact + 0.4 * (contexts.sum() - exact)


def test_float32_keeps_the_pairs_of_long_contexts():
    batch = features([(1, 200000)])
    single = windowed(*batch.astype(jnp.float32), WINDOW).prefill_pairs
    assert single == pytest.approx(WINDOW, rel=1e-4)
