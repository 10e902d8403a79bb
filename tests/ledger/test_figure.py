import numpy as np
import pytest

from carbjax._plots import share_figure

from .attributions import attributed, requests


@pytest.mark.parametrize("num_requests", [3, 50])
def test_bars_add_up_to_the_total(num_requests):
    attribution = attributed(num_requests)
    axes = share_figure(attribution, requests(num_requests)).axes[0]
    drawn = sum(bar.get_width() for bar in axes.patches)
    assert drawn == pytest.approx(attribution.total, rel=1e-12)


def test_largest_shares_come_first_and_the_rest_is_summed():
    figure = share_figure(attributed(50), requests(50))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[:2] == ["r50", "r49"]
    assert names[-2:] == ["30 others", "unattributed"]
    assert "gCO" in figure.axes[0].get_xlabel()


def test_small_amounts_are_shown_in_milligrams():
    attribution = attributed()
    for part in (attribution.emissions, attribution.remainder):
        for name in ("prefill", "decode", "idle", "embodied"):
            object.__setattr__(part, name, getattr(part, name) * 1e-3)
    axes = share_figure(attribution, requests()).axes[0]
    assert axes.get_xlabel() == "attributed carbon (mgCO$_2$e)"
    widths = np.array([bar.get_width() for bar in axes.patches])
    assert widths.max() == pytest.approx(6.0)
