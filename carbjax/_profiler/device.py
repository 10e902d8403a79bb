"""The device that JAX computes on, and the datasheet of the GPU."""

from typing import Any

import jax

from carbjax._errors import ConfigError
from carbjax._hardware import ACCELERATORS, Accelerator, accelerator
from carbjax._profiler.gpu import AbstractGpu
from carbjax._profiler.nvml import TIME_ONLY

_NAME_IN_DRIVER = {
    "A100": "a100-sxm",
    "H100": "h100-sxm",
    "H200": "h200-sxm",
    "B200": "b200-sxm",
    "RTX PRO 6000": "rtx-pro-6000",
}


def known_accelerator(device_name: str) -> Accelerator | None:
    """The shipped accelerator of that name of the driver; None where it is not known."""
    for part, name in _NAME_IN_DRIVER.items():
        if part in device_name and name in ACCELERATORS:
            return accelerator(name)
    return None


def require_same_gpu(gpu: AbstractGpu, device: Any = None) -> None:
    """Nothing where JAX computes on the metered GPU; else `ConfigError`."""
    device = _first_device() if device is None else device
    if device.platform != "gpu":
        raise ConfigError(
            f"NVML sees {gpu.name}, but JAX computes on the {device.platform}: this "
            "jaxlib has no CUDA, or cannot use the driver.",
            hint=f"Install it with `pip install 'carbjax[gpu]'`. {TIME_ONLY}",
        )
    if _plain(device.device_kind) != _plain(gpu.name):
        raise ConfigError(
            f"JAX computes on {device.device_kind}, but the meter is of {gpu.name}.",
            hint="Set CUDA_DEVICE_ORDER=PCI_BUS_ID, and CUDA_VISIBLE_DEVICES to one GPU.",
        )


def _first_device() -> Any:
    try:
        return jax.devices()[0]
    except RuntimeError as error:
        raise ConfigError(
            f"JAX cannot start ({str(error).splitlines()[0]}).",
            hint=f"Install it with `pip install 'carbjax[gpu]'`. {TIME_ONLY}",
        ) from error


def _plain(name: str) -> str:
    return name.removeprefix("NVIDIA ").strip().lower()
