import numpy as np
import pytest

from carbjax._plots import share_figure

from .attributions import attributed, requests


def test_bars_add_up_to_the_shares():
    attribution = attributed()
    axes = share_figure(attribution, requests()).axes[0]
    drawn = sum(bar.get_width() for bar in axes.patches)
    assert drawn == pytest.approx(attribution.shares.sum(), rel=1e-12)


def test_largest_shares_come_first_and_the_rest_is_told():
    attribution = attributed(50)
    axes = share_figure(attribution, requests(50)).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"r{i}" for i in range(50, 30, -1)]
    others = attribution.shares[:30].sum()
    assert f"30 others {others:.3g} g, unattributed 6 g" in axes.get_title(loc="left")
    assert axes.get_xlabel() == "attributed carbon (gCO$_2$e)"


def test_small_amounts_are_shown_in_milligrams():
    attribution = attributed()
    for part in (attribution.emissions, attribution.remainder):
        for name in ("prefill", "decode", "idle", "embodied"):
            object.__setattr__(part, name, getattr(part, name) * 1e-3)
    axes = share_figure(attribution, requests()).axes[0]
    assert axes.get_xlabel() == "attributed carbon (mgCO$_2$e)"
    widths = np.array([bar.get_width() for bar in axes.patches])
    assert widths.max() == pytest.approx(6.0)
