"""Fits of attention: exact where the form is true, and close on measured rows."""

import itertools

import numpy as np
import pytest

from carbjax._errors import ProfileError
from carbjax._fitting import attention_fit as af, attention_mixed as am, rtx_profile
from carbjax._fitting.attention_cone import FEATURES, REQUESTS, cone
from carbjax._fitting.attention_nnls import nonnegative, relative_fit
from carbjax._fitting.attention_record import attention_profiles, attention_record
from carbjax._fitting.fit import GpuFacts
from carbjax._profiles.profile import Profile, concatenate

H200 = GpuFacts("h200-sxm", 4.8e12, 9.89e14, 5e7, 700.0)


def _decode(latency, requests, contexts):
    """A profile of every pair, of 8 key-value heads; `latency(B, k)` in s."""
    b, k = (v.ravel() for v in np.meshgrid(requests, contexts, indexing="ij"))
    ones = np.ones(len(b))
    return Profile.of(
        "decode_attention",
        latency(b, k),
        num_tokens=b,
        decode_tokens=b,
        decode_kv=b * k,
        num_heads=32 * ones,
        num_kv_heads=8 * ones,
        head_dim=128 * ones,
    )


def _mape(predicted, measured):
    return 100 * float(np.mean(np.abs(predicted / measured - 1)))


def _all(rows):
    return np.ones(len(rows), dtype=bool)


@pytest.mark.parametrize("seed", range(5))
def test_no_subset_of_columns_does_better(seed):
    rng = np.random.default_rng(seed)
    design, wanted = rng.normal(size=(12, 5)), rng.normal(size=12)
    gram, pull = design.T @ design, design.T @ wanted
    found = nonnegative(gram, pull)

    def loss(x):
        return 0.5 * x @ gram @ x - pull @ x

    best = 0.0
    for size in range(1, 6):
        for at in map(list, itertools.combinations(range(5), size)):
            x = np.zeros(5)
            x[at] = np.linalg.lstsq(design[:, at], wanted, rcond=None)[0]
            best = min(best, loss(x) if np.all(x >= 0) else 0.0)
    assert loss(found) == pytest.approx(best, abs=1e-6)
    assert np.all(found >= 0)


def test_a_wild_row_does_not_move_the_fit():
    x = np.linspace(1, 30, 30)
    latency = 2 + 3 * x
    latency[7] *= 20
    found = relative_fit(np.stack([np.ones(30), x], axis=1), latency, np.ones(30))
    assert np.allclose(found.coefficients, [2, 3], rtol=0.05)


@pytest.mark.parametrize("monotone", (FEATURES, REQUESTS))
def test_pieces_are_monotone(monotone):
    grid = (np.array([4.0, 90.0]), np.array([500.0]), np.array([10.0, 300.0]))
    pieces = cone(*grid, None, monotone)
    b, k = np.meshgrid(np.geomspace(0.5, 1e4, 60), np.geomspace(1, 1e5, 70), indexing="ij")

    def seconds(b, y):
        work = af.Work(b.ravel(), y.ravel(), None, *[np.ones(b.size)] * 2)
        knots = [tuple(g) for g in grid]
        return af.design_of(af.Grid(*knots, None, (1.0,), (1.0,)), work, pieces)

    longer = seconds(b, b * k * 1.01) - seconds(b, b * k)
    more = seconds(1.01 * b, b * k * (1.01 if monotone == REQUESTS else 1.0))
    more = more - seconds(b, b * k)
    size = seconds(b, b * k)
    assert np.all(longer >= -1e-11 * size) and np.all(more >= -1e-11 * size)
    assert np.all(size >= -1e-9 * size.max(axis=0))


def test_few_rows_of_a_true_roofline_are_enough():
    def true(b, k):
        return 9e-6 + 2e-8 * b + 2.5e-9 * b * k

    rows = _decode(true, [1, 16, 128], [256, 1024, 4096, 8192])
    unseen = _decode(true, [4, 64, 256], [512, 2048, 16384])
    kernel = af.fit_decode(rows, _all(rows)).kernel
    assert _mape(af.predict(kernel, af.decode_work(unseen)), unseen.latency_s) < 1.0


def test_noise_shows_in_the_uncertainty():
    rng = np.random.default_rng(0)
    requests, contexts = [1, 4, 16, 64, 256], [64, 256, 1024, 4096]

    def noisy(spread):
        def latency(b, k):
            noise = rng.normal(size=len(b))
            return (9e-6 + 2.5e-9 * b * k) * np.exp(spread * noise)

        rows = _decode(latency, requests, contexts)
        return af.fit_decode(rows, _all(rows)).launch_std

    assert noisy(0.1) > 3 * noisy(0.01)


@pytest.mark.parametrize("contexts", ([100.0], [100.0, 200.0, 400.0]))
def test_too_little_is_refused(contexts):
    rows = _decode(lambda b, k: 1e-5 + 1e-9 * b * k, [1.0], contexts)
    with pytest.raises(ProfileError, match="too few"):
        af.fit_decode(rows, _all(rows))


def test_one_size_is_refused():
    rows = _decode(lambda b, k: 1e-5 + 1e-9 * b * k, [3.0], [100.0])
    many = concatenate(*[rows] * 6)
    with pytest.raises(ProfileError, match="same size"):
        af.fit_decode(many, _all(many))


def test_unseen_head_counts_of_h200(shared_data):
    prefill, decode = attention_profiles(H200, shared_data)
    for rows, fit, work in (
        (prefill, af.fit_prefill, af.prefill_work),
        (decode, af.fit_decode, af.decode_work),
    ):
        geometry = 1000 * rows.num_heads + rows.num_kv_heads
        _, index = np.unique(geometry, return_inverse=True)
        held_out = index % 5 == 0
        predicted = af.predict(fit(rows, ~held_out).kernel, work(rows))
        assert _mape(predicted[held_out], rows.latency_s[held_out]) < 10


def test_batches_of_both_at_unseen_contexts(shared_data):
    rows = concatenate(*rtx_profile.attention(shared_data))
    context = rows.decode_kv / np.maximum(rows.decode_tokens, 1)
    _, line = np.unique(context, return_inverse=True)
    both = (rows.prefill_kv > 0) & (rows.decode_tokens > 0)
    held_out = (line % 3 == 2) & both
    fit = am.fit_mixed(rows, ~held_out)
    predicted = am.predict_mixed(fit, rows)
    assert _mape(predicted[held_out], rows.latency_s[held_out]) < 15
    assert 0 <= fit.shared.serial_share <= 1


def test_separate_kernels_do_not_interact(shared_data):
    b200 = GpuFacts("b200-sxm", 8e12, 2.25e15, 1.26e8, 1000.0)
    parameters, errors = attention_record(b200, shared_data)
    assert parameters["shared_kernel"] is None
    assert errors["decode_attention latency"]["mape"] < 12
