import math

import numpy as np
import pytest

from carbjax._report.panels import HEIGHT, WIDTH, Axes, Series
from carbjax._report.scales import linear_scale, log_scale
from carbjax._report.wording import clean, count, listed, percent, pieces, plain


@pytest.mark.parametrize(
    "value", [-3.14159, 1e-12, 0.000123456, 7.5, 999.6, 123456.7, 2e12]
)
def test_three_digits_are_right(value):
    text = plain(value).replace("−", "-").replace(",", "")
    digits = text.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    read = float(digits.replace(" × 10", "e"))
    assert read == pytest.approx(value, rel=0.05 if "×" in text else 0.005)
    assert len(plain(value)) < 16


def test_numbers_that_are_none():
    assert plain(math.nan) == count(math.nan) == percent(math.nan) == "unknown"
    assert plain(-math.inf) == "−∞" and percent(math.inf) == "∞"
    assert percent(1e-15) == "0%" and percent(1e-7) != "0%"


def test_counts_keep_their_last_digit():
    assert count(4097.0) == "4,097"


def test_names_in_a_sentence():
    text = listed([f"m{i}" for i in range(9)], most=4)
    assert [name for name, is_name in pieces(text) if is_name] == ["m0", "m1", "m2"]
    assert "6 more" in text
    assert [t for t, _ in pieces(listed(["a", "b"]))] == ["", "a", " and ", "b", ""]
    assert clean("ä 日本 \n\x1b[0m\u200f") == "ä 日本 \n�[0m�"


def test_a_logarithmic_axis_holds_its_values_in_order():
    values = [3e-4, 0.02, 0.5, 7.0]
    scale = log_scale(values)
    assert scale is not None
    places = [scale.at(v) for v in values]
    assert places == sorted(places) and 0 <= places[0] and places[-1] <= 1
    assert scale.at(math.sqrt(scale.low * scale.high)) == pytest.approx(0.5)
    assert scale.at(0.0) == 0 and scale.at(-1.0) == 0 and scale.at(math.inf) == 1
    assert log_scale([0.0, math.nan]) is None
    assert log_scale([1e-9], floor=1e-5).low >= 1e-5 * (1 - 1e-12)  # type: ignore


def test_a_linear_axis_has_round_ticks_around_its_values():
    for seed in range(20):
        values = np.random.default_rng(seed).normal(0, 10.0 ** (seed - 10), 5)
        scale = linear_scale(values, -math.inf, math.inf)
        assert scale.low <= min(0, *values) and scale.high >= max(0, *values)
        assert 2 <= len(scale.ticks) <= 9
        assert np.allclose(np.diff(scale.ticks), scale.ticks[1] - scale.ticks[0])
    assert linear_scale([-50.0, 0.2], -1.0, 1.5).low == -1.0


def test_a_panel_draws_within_its_box_and_says_where_it_is_cut():
    axes = Axes(log_scale([1, 100]), linear_scale([0.0, 1.0], -1, 1.5), "x", "y")  # type: ignore
    band = [(0.0, 9.0), (0.1, 0.2), (math.nan, 1.0)]
    series = Series("s", 0, [1, 10, 100], [0.5, math.nan, 7.0], band)
    panel = axes.panel("m", [series], "")
    assert panel.is_cut and len(panel.lines[0].dots) == 2
    for x, y in panel.lines[0].dots:
        assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT
    assert "nan" not in panel.lines[0].band and panel.lines[0].band.endswith("Z")
    assert not axes.panel("m", [Series("s", 0, [1], [0.5])], "").is_cut
