"""Power carried from one GPU to another, and from one precision to another."""

import numpy as np
import pytest

from carbjax._fitting.fit import GpuFacts
from carbjax._fitting.power_fits import transfer_power
from carbjax._surrogate.power import PowerModel

GEMM = PowerModel(140.0, 690.0, 1.1e-10, 0.8e-12)
H200 = GpuFacts("h200-sxm", 4.8e12, 989e12, 50e6, 700.0)
A100 = GpuFacts("a100-sxm", 2.0e12, 312e12, 40e6, 400.0)
H100 = GpuFacts("h100-sxm", 3.35e12, 989e12, 50e6, 700.0)


def moved(target: GpuFacts) -> dict[str, PowerModel]:
    power = transfer_power({"gemm": dict(vars(GEMM))}, H200, target)
    return {name: PowerModel(**values) for name, values in power.items()}


def test_full_bandwidth_and_flop_rate_draw_the_same_share_of_the_limit():
    here = moved(A100)["gemm"]
    full = here.work(A100.memory_bandwidth, A100.peak_flops) / A100.max_power
    there = GEMM.work(H200.memory_bandwidth, H200.peak_flops) / H200.max_power
    assert np.isclose(full, there)
    assert np.isclose(here.static_power / 400, GEMM.static_power / 700)


def test_memory_of_one_kind_costs_the_same_a_byte():
    assert np.isclose(moved(H100)["gemm"].byte_energy, GEMM.byte_energy)


@pytest.mark.parametrize(("gpu", "share"), [(H100, 0.5), (A100, 1.0)])
def test_fp8_flops_are_cheaper_where_there_are_fp8_cores(gpu, share):
    power = moved(gpu)
    assert np.isclose(power["gemm_fp8"].flop_energy, share * power["gemm"].flop_energy)
    assert power["gemm_fp8"].byte_energy == power["gemm"].byte_energy
