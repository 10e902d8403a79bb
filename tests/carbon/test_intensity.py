"""A piecewise-constant intensity: exact integrals, no extrapolation, any float type."""

import datetime as dt

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._carbon.intensity import Intensity
from carbjax._errors import IntensityError

EPOCH = dt.datetime(2023, 7, 3, 10, 20, 7, tzinfo=dt.UTC)
START = dt.datetime(2023, 7, 3, tzinfo=dt.UTC)


def hourly(seed: int = 0, hours: int = 24) -> Intensity:
    values = np.random.default_rng(seed).uniform(50, 600, hours)
    return Intensity(START.timestamp() + 3600.0 * np.arange(hours + 1), values)


def spans(seed: int, count: int, longest_s: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    start_s = rng.uniform(-10 * 3600, 8 * 3600, count)
    return start_s, start_s + rng.uniform(0, longest_s, count)


def fine_sum(series: Intensity, start_s: float, end_s: float, cells: int = 20_000) -> float:
    middles = start_s + (np.arange(cells) + 0.5) * (end_s - start_s) / cells
    unix = middles + EPOCH.timestamp()
    index = np.searchsorted(series.edges_s, unix, side="right") - 1
    return float(series.values[index].mean() * (end_s - start_s))


@pytest.mark.parametrize("longest_s", [10.0, 5 * 3600.0])
def test_integral_agrees_with_a_fine_sum(longest_s):
    series = hourly()
    relative = series.relative(EPOCH)
    for start_s, end_s in zip(*spans(1, 20, longest_s), strict=True):
        fine = fine_sum(series, start_s, end_s)
        assert float(relative.integral(start_s, end_s)) == pytest.approx(fine, rel=1e-4)


def test_integral_over_an_hour_edge_is_the_two_parts():
    series = hourly()
    relative = series.relative(EPOCH)
    edge = 40 * 60.0 - 7  # 11:00
    expected = series.values[10] * 2.0 + series.values[11] * 3.0
    assert float(relative.integral(edge - 2, edge + 3)) == pytest.approx(
        expected, rel=1e-13
    )


def test_integral_is_additive_and_antisymmetric():
    relative = hourly().relative(EPOCH)
    start_s, end_s = spans(2, 200, 5 * 3600.0)
    middle_s = 0.3 * start_s + 0.7 * end_s
    whole = relative.integral(start_s, end_s)
    parts = relative.integral(start_s, middle_s) + relative.integral(middle_s, end_s)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
    np.testing.assert_allclose(relative.integral(end_s, start_s), -whole, rtol=1e-12)


def test_the_whole_cover_integrates_and_nothing_beyond():
    series = hourly()
    relative = series.relative(EPOCH)
    low, high = relative.edges_s[0], relative.edges_s[-1]
    total = float(np.sum(series.values) * 3600)
    assert float(relative.integral(low, high)) == pytest.approx(total, rel=1e-13)
    for start_s, end_s in ((low - 1, high), (low, high + 1), (high + 1, high + 2)):
        assert np.isnan(relative.integral(start_s, end_s))
        assert np.isnan(relative.mean(start_s, end_s))
    assert np.isnan(relative.at(low - 1)) and np.isnan(relative.at(high))


def test_at_is_the_value_of_the_interval_that_starts_there():
    series = hourly()
    relative = series.relative(EPOCH)
    np.testing.assert_array_equal(relative.at(relative.edges_s[:-1]), series.values)
    np.testing.assert_array_equal(
        relative.at(relative.edges_s[:-1] + 3599.0), series.values
    )


def test_mean_is_the_integral_over_the_length_and_the_value_at_an_instant():
    relative = hourly().relative(EPOCH)
    start_s, end_s = spans(3, 50, 2 * 3600.0)
    integral = relative.integral(start_s, end_s)
    np.testing.assert_allclose(relative.mean(start_s, end_s), integral / (end_s - start_s))
    np.testing.assert_array_equal(relative.mean(start_s, start_s), relative.at(start_s))


def test_next_change_walks_every_edge_and_ends():
    relative = hourly(hours=5).relative(START)
    edges, time_s = [], jnp.asarray(-1.0)
    while np.isfinite(time_s := relative.next_change(time_s)):
        edges.append(float(time_s))
    np.testing.assert_array_equal(edges, relative.edges_s)


def test_a_constant_covers_all_time_and_never_changes():
    relative = Intensity.constant(400.0).relative(None)
    time_s = jnp.asarray([-1e12, 0.0, 3.5, 1e12])
    np.testing.assert_array_equal(relative.at(time_s), 400.0)
    np.testing.assert_array_equal(relative.next_change(time_s), np.inf)
    np.testing.assert_allclose(relative.integral(time_s, time_s + 2.0), 800.0, rtol=1e-3)


def test_the_integral_is_differentiable_in_time_and_in_the_values():
    for relative in (hourly().relative(EPOCH), Intensity.constant(400.0).relative(None)):
        by_end = jax.grad(relative.integral, argnums=1)(-5000.0, 7000.0)
        assert float(by_end) == pytest.approx(float(relative.at(7000.0)))
        by_start = jax.grad(relative.integral, argnums=0)(-5000.0, 7000.0)
        assert float(by_start) == pytest.approx(-float(relative.at(-5000.0)))
        by_value = jax.grad(
            lambda values, r=relative: eqx.tree_at(
                lambda tree: tree.values, r, values
            ).integral(3.0, 5.0)
        )(relative.values)
        assert float(jnp.sum(by_value)) == pytest.approx(2.0)


def test_jit_and_vmap_change_nothing():
    relative = hourly().relative(EPOCH)
    start_s, end_s = (jnp.asarray(x) for x in spans(4, 30, 7200.0))
    mapped = eqx.filter_jit(jax.vmap(lambda a, b: relative.integral(a, b)))(start_s, end_s)
    np.testing.assert_allclose(mapped, relative.integral(start_s, end_s), rtol=1e-14)


def test_short_spans_survive_32_bit_floats_in_a_year_long_series():
    series = hourly(hours=8760)
    epoch = START + dt.timedelta(days=200, seconds=1234)
    exact = series.relative(epoch)
    start_s = np.random.default_rng(5).uniform(0, 7200, 100).astype(np.float32)
    end_s = start_s + np.float32(0.03125)
    with jax.enable_x64(False):
        rough = series.relative(epoch)
        assert rough.edges_s.dtype == rough.cumulative.dtype == jnp.float32
        short = np.asarray(rough.integral(jnp.asarray(start_s), jnp.asarray(end_s)))
    expected = exact.integral(start_s.astype(np.float64), end_s.astype(np.float64))
    np.testing.assert_allclose(short, expected, rtol=1e-6)


def test_a_window_answers_like_the_whole_series():
    series = hourly()
    start, end = EPOCH, EPOCH + dt.timedelta(hours=3)
    window = series.window(start, end)
    assert len(window.values) == 4
    start_s, end_s = np.linspace(0, 5000, 7), np.linspace(5000, 3 * 3600, 7)
    np.testing.assert_allclose(
        window.relative(EPOCH).integral(start_s, end_s),
        series.relative(EPOCH).integral(start_s, end_s),
        rtol=1e-12,
    )
    assert len(series.window(START, START).values) == 1
    assert Intensity.constant(3.0).window(start, end).is_constant


def test_time_outside_the_cover_is_refused_with_both_periods():
    series = hourly()
    series.require_cover(series.start, series.end)
    with pytest.raises(IntensityError, match="2023-07-04T00:00:00.*2023-07-04T00:00:01"):
        series.require_cover(EPOCH, series.end + dt.timedelta(seconds=1))
    with pytest.raises(IntensityError, match="asked for"):
        series.window(series.start - dt.timedelta(days=365), series.end)


def test_a_series_needs_a_calendar():
    with pytest.raises(IntensityError, match="epoch"):
        hourly().relative(None)
    with pytest.raises(IntensityError, match="time zone"):
        hourly().relative(dt.datetime(2023, 7, 3))


@pytest.mark.parametrize(
    "edges_s, values",
    [
        ([0.0, 1.0], []),
        ([0.0], [1.0]),
        ([0.0, 1.0, 1.0], [1.0, 2.0]),
        ([0.0, 1.0], [-1.0]),
        ([0.0, 1.0], [float("nan")]),
        ([0.0, 1.0], [5001.0]),
        ([0.0, float("nan")], [1.0]),
    ],
)
def test_malformed_series_are_refused(edges_s, values):
    with pytest.raises(IntensityError):
        Intensity(edges_s, values)
