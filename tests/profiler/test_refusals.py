"""Where power cannot be measured the profiler says why, and what to do."""

import math
import os
import sys
from types import SimpleNamespace

import pytest

from carbjax._cli.profiling import Request, run_profile
from carbjax._errors import ConfigError
from carbjax._profiler import open_gpu, require_same_gpu

from .fake_nvml import POWER_W, FakeNvml


@pytest.fixture(autouse=True)
def all_gpus_visible(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    "fake, words",
    [
        (FakeNvml(broken=["nvmlInit"]), "no NVIDIA driver.*--time-only"),
        (FakeNvml(broken=["nvmlDeviceGetHandleByIndex"]), "no NVIDIA GPU '0'"),
        (
            FakeNvml(broken=["nvmlDeviceGetTotalEnergyConsumption"]),
            "no energy counter.*older than Volta, or a virtual GPU.*--time-only",
        ),
        (FakeNvml(mig=1), "MIG.*nvidia-smi -mig 0"),
        (FakeNvml(pids=[11, os.getpid(), 12]), "2 other processes.*11, 12.*--share"),
    ],
)
def test_a_gpu_that_cannot_be_metered_is_refused_and_let_go(fake, words):
    with pytest.raises(ConfigError, match=words):
        open_gpu(fake)
    assert not fake.is_open


def test_a_missing_binding_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(ConfigError, match=r"binding of NVML.*carbjax\[nvml\]"):
        open_gpu()


@pytest.mark.parametrize("visible, words", [("7", "no NVIDIA GPU '7'"), ("MIG-1", "MIG")])
def test_the_gpu_is_the_first_that_cuda_sees(visible, words, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ConfigError, match=words):
        open_gpu(FakeNvml())


def test_others_on_the_gpu_can_be_put_up_with():
    assert open_gpu(FakeNvml(pids=[11]), share=True).name == "NVIDIA H200"


def test_jax_without_cuda_and_another_gpu_are_refused():
    gpu = open_gpu(FakeNvml())
    cpu = SimpleNamespace(platform="cpu", device_kind="cpu")
    with pytest.raises(ConfigError, match=r"computes on the cpu.*carbjax\[gpu\]"):
        require_same_gpu(gpu, cpu)
    other = SimpleNamespace(platform="gpu", device_kind="NVIDIA L4")
    with pytest.raises(ConfigError, match="L4.*PCI_BUS_ID"):
        require_same_gpu(gpu, other)
    require_same_gpu(gpu, SimpleNamespace(platform="gpu", device_kind="NVIDIA H200"))


def test_too_little_memory_is_refused_with_a_limit_that_fits(tmp_path):
    fake = FakeNvml(gigabytes=12)
    out = tmp_path / "profile.parquet"
    with pytest.raises(ConfigError, match="decode 256 of 8192.*--memory-gb 9"):
        run_profile(Request("llama-3.1-8b", out=str(out)), open_gpu(fake))
    assert not fake.is_open and not any(tmp_path.iterdir())


def test_a_reading_is_in_units_and_what_is_not_told_is_nan():
    reading = open_gpu(FakeNvml()).read()
    assert reading.sm_clock_hz == 1.98e9
    assert (reading.power_w, reading.memory_power_w) == (POWER_W, 90.0)
    without = FakeNvml(broken=["nvmlDeviceGetFieldValues"])
    assert math.isnan(open_gpu(without).read().power_w)


@pytest.mark.parametrize("reason, is_hot", [(0x04, False), (0x20, True), (0x40, True)])
def test_heat_is_told_from_the_power_limit(reason, is_hot):
    fake = FakeNvml()
    fake.throttle = reason
    assert open_gpu(fake).read().is_hot == is_hot
