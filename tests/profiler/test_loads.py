"""The loads compute what they are named after, and no compiler drops a part of them."""

import dataclasses as dc

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from carbjax._profiler.loads import allocate, load_of
from carbjax._profiler.loads.elementwise import saved
from carbjax._profiler.loop import compiled, run_half_duty, run_window

from .tiny import POINTS, QUICK, SHAPE


def _load(label):
    point = next(point for point in POINTS if point.label == label)
    return load_of(point, SHAPE, "xla")


def _softmax_attention(q, k, v, length):
    """One query of one head over the first `length` keys, in float64."""
    scores = k[:length] @ q / np.sqrt(len(q))
    weights = np.exp(scores - scores.max())
    return weights @ v[:length] / weights.sum()


def _close(found, expected):
    assert np.max(np.abs(np.asarray(found, dtype=float) - expected)) < 0.05


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.label)
def test_a_call_gives_finite_numbers_of_the_shape_that_it_says(point):
    load = load_of(point, SHAPE, "xla")
    (x, ys), operands = allocate(load, key=jr.key(0))
    found = jax.jit(load.call)(x, operands[0], ys[0])
    for leaf, said in zip(jax.tree.leaves(found), jax.tree.leaves(load.y), strict=True):
        assert (leaf.shape, leaf.dtype) == (said.shape, jnp.bfloat16)
        assert np.isfinite(np.asarray(leaf, dtype=float)).all()


@pytest.mark.parametrize("label", ["prefill 8 after 0", "prefill 8 after 16"])
def test_a_chunk_sees_all_that_is_cached_and_itself_causally(label):
    load = _load(label)
    (q, ys), operands = allocate(load, key=jr.key(1))
    found = load.call(q, operands[0], ys[0])
    parts = operands[0] if "16" in label else (operands[0],)
    # Cached tokens come first.
    k, v = (
        np.concatenate([np.asarray(p[i][0], dtype=float) for p in reversed(parts)])
        for i in (0, 1)
    )
    cached = len(k) - 8
    for token in range(8):
        query = np.asarray(q[0, token, 3], dtype=float)
        expected = _softmax_attention(query, k[:, 1], v[:, 1], cached + token + 1)
        _close(found[0, token, 3], expected)


def test_uneven_contexts_are_not_read_beyond_their_ends():
    load = _load("decode uneven")
    (q, ys), operands = allocate(load, key=jr.key(2))
    found = load.call(q, operands[0], ys[0])
    (k, v), lengths = operands[0]
    for request, length in enumerate(lengths):
        query, keys, values = (
            np.asarray(a, dtype=float)
            for a in (q[request, 0, 0], k[request, :, 0], v[request, :, 0])
        )
        expected = _softmax_attention(query, keys, values, int(length))
        _close(found[request, 0, 0], expected)


def test_new_keys_and_values_land_in_their_slots():
    cache, new = jnp.zeros((6, 2, 1, 4)), jr.normal(jr.key(3), (3, 2, 1, 4))
    found = saved(cache, new, jnp.array([4, 0, 5]))
    assert jnp.array_equal(found[jnp.array([4, 0, 5])], new)
    assert not found[jnp.array([1, 2, 3])].any()


_SAME_INPUT = ("gate_up m=4", "norm m=8", "silu_mul m=8", "rope m=8", "residual_add m=8")


@pytest.mark.parametrize("label", [*_SAME_INPUT, "cache", "tiny", "mixed layer"])
def test_the_compiler_shares_nothing_between_calls(label):
    # On a CPU barriers go before common expressions are merged: only data keeps them apart.
    def work(replicas):
        program = compiled(dc.replace(_load(label), replicas=replicas), trips=2)
        return program.run.cost_analysis()["flops"]

    assert work(4) > 3.3 * work(1)


def test_the_loop_runs_and_counts_its_calls():
    program = compiled(_load("norm m=8"), trips=5)
    window = run_window(program, QUICK, key=jr.key(0))
    assert program.calls == 5 * program.load.replicas
    assert 0 < window.latency_s <= (window.end - window.start) / (2 * program.calls)


def test_half_of_the_time_it_rests():
    program = compiled(_load("half"), trips=200)
    protocol = dc.replace(QUICK, window=0.3)
    window = run_half_duty(program, protocol, key=jr.key(0))
    assert protocol.window <= window.end - window.start < 2.0
    assert 0 < window.latency_s < 0.1
