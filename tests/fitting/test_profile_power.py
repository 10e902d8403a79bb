"""Power models are found from trusted readings, and only from them."""

import dataclasses as dc

import numpy as np
import pytest

from carbjax._fitting.fit import GpuFacts, power_of
from carbjax._fitting.profile_power import fit_powers_of, fitted_power
from carbjax._profiles.profile import Profile
from carbjax._surrogate.power import PowerModel
from tests import made_up_profiles as profiles

GPU = GpuFacts("made up", 4e12, 7e14, 0.0, 700.0)
TRUTH = PowerModel(140.0, 690.0, 1.1e-10, 0.7e-12)


def _metered(rows: Profile) -> Profile:
    power = power_of(TRUTH, rows.gemm_bytes, rows.gemm_flops, rows.latency_s)
    power = np.asarray(power)
    energy, trust = power * rows.latency_s, np.ones(len(rows))
    return dc.replace(rows, power_w=power, energy_j=energy, power_weight=trust)


def test_the_model_that_made_the_readings_is_found():
    rows = _metered(profiles.gemms())
    models, report = fit_powers_of(rows, GPU)
    found = fitted_power(models["gemm"], rows, rows.latency_s)
    # A prior of 30% around the usual numbers is left in a fit of 70 rows.
    assert np.abs(found / rows.power_w - 1).mean() < 0.02
    assert models["gemm"].max_power == pytest.approx(TRUTH.max_power, rel=0.05)
    assert report.of("gemm power", "interpolation").mape < 3.0


def test_distrusted_readings_change_nothing():
    rows = _metered(profiles.gemms())
    trust = np.where(np.arange(len(rows)) % 5 == 0, 0.0, 1.0)
    right = dc.replace(rows, power_weight=trust)
    wrong = dc.replace(right, power_w=np.where(trust > 0, rows.power_w, 300.0))
    (expected, _), (found, _) = (fit_powers_of(each, GPU) for each in (right, wrong))
    assert vars(found["gemm"]) == pytest.approx(vars(expected["gemm"]), rel=1e-9)


def test_without_readings_there_is_no_model():
    models, report = fit_powers_of(profiles.whole(), GPU)
    assert models == {} and report.lines == ()
    assert np.isnan(fitted_power(None, profiles.gemms(), np.ones(70))).all()
