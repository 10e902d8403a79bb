"""NVIDIA's management library (NVML) as a meter, and clear refusals where it is none."""

import ctypes
import importlib
import math
import os
import time
from typing import Any

from carbjax._errors import ConfigError
from carbjax._profiler.gpu import AbstractGpu, Reading

TIME_ONLY = "Measure latencies alone with `--time-only`."
_JOULES_PER_MILLIJOULE = 1e-3
_WATTS_PER_MILLIWATT = 1e-3
_HERTZ_PER_MEGAHERTZ = 1e6
# Of nvml.h: clocks lowered by heat, by the hardware's own protection, or a power brake.
_HOT = 0x08 | 0x20 | 0x40 | 0x80
_GPU_SCOPE, _MEMORY_SCOPE = 0, 2  # NVML_POWER_SCOPE_* of nvml.h


class NvmlGpu(AbstractGpu):
    """One GPU as NVML sees it. Readings that it does not support are NaN."""

    def __init__(self, library: Any, handle: Any):
        self._library, self._handle = library, handle
        self.name = _text(library.nvmlDeviceGetName(handle))
        self.driver = _text(library.nvmlSystemGetDriverVersion())
        limit = library.nvmlDeviceGetEnforcedPowerLimit(handle)
        self.power_limit_w = limit * _WATTS_PER_MILLIWATT
        memory = library.nvmlDeviceGetMemoryInfo(handle)
        self.free_bytes, self.total_bytes = int(memory.free), int(memory.total)

    def read(self) -> Reading:
        library, handle = self._library, self._handle
        energy = library.nvmlDeviceGetTotalEnergyConsumption(handle)
        # The energy is dated at once: what follows takes a millisecond or more.
        now = time.monotonic()
        instant, memory = self._powers()
        clock = library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_SM)
        sensor = library.NVML_TEMPERATURE_GPU
        return Reading(
            time_s=now,
            energy_j=energy * _JOULES_PER_MILLIJOULE,
            power_w=instant,
            memory_power_w=memory,
            sm_clock_hz=clock * _HERTZ_PER_MEGAHERTZ,
            temperature_c=float(library.nvmlDeviceGetTemperature(handle, sensor)),
            is_hot=bool(library.nvmlDeviceGetCurrentClocksThrottleReasons(handle) & _HOT),
        )

    def close(self) -> None:
        self._library.nvmlShutdown()

    def _powers(self) -> tuple[float, float]:
        """Power at this instant and of the memory, in W."""
        library = self._library
        asked = [
            (library.NVML_FI_DEV_POWER_INSTANT, _GPU_SCOPE),
            (library.NVML_FI_DEV_POWER_AVERAGE, _MEMORY_SCOPE),
        ]
        try:
            instant, memory = library.nvmlDeviceGetFieldValues(self._handle, asked)
        except library.NVMLError:
            return math.nan, math.nan
        return _watts(instant), _watts(memory)


def open_gpu(library: Any = None, *, share: bool = False) -> NvmlGpu:
    """The GPU that JAX uses first, ready to be metered.

    `library` is the module `pynvml`, or one that stands in for it. Where `share`, other
    processes may use the GPU.

    Raises `ConfigError` where there is no NVML, no driver, no GPU, no energy counter,
    where the GPU is cut into MIG instances, and where others use it.
    """
    library = _import() if library is None else library
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        raise ConfigError(
            f"NVML finds no NVIDIA driver ({error}).",
            hint=f"Run on a machine with an NVIDIA GPU. {TIME_ONLY}",
        ) from None
    try:
        handle = _handle(library)
        _refuse_mig(library, handle)
        _refuse_without_counter(library, handle)
        if not share:
            _refuse_company(library, handle)
        return NvmlGpu(library, handle)
    except BaseException:
        library.nvmlShutdown()
        raise


def _import() -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        raise ConfigError(
            "the Python binding of NVML is not installed.",
            hint=f"Install it with `pip install 'carbjax[nvml]'`. {TIME_ONLY}",
        ) from None


def _handle(library: Any) -> Any:
    """The first GPU that CUDA may see."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if first.startswith("MIG-"):
        raise _mig_error()
    try:
        if first.startswith("GPU-"):
            return library.nvmlDeviceGetHandleByUUID(first)
        return library.nvmlDeviceGetHandleByIndex(int(first))
    except (library.NVMLError, ValueError) as error:
        raise ConfigError(
            f"there is no NVIDIA GPU {first!r} ({error}).",
            hint="Set CUDA_VISIBLE_DEVICES to the index of one that `nvidia-smi` lists. "
            + TIME_ONLY,
        ) from None


def _refuse_mig(library: Any, handle: Any) -> None:
    try:
        current, _ = library.nvmlDeviceGetMigMode(handle)
    except library.NVMLError:
        return  # a GPU that cannot be cut
    if current:
        raise _mig_error()


def _mig_error() -> ConfigError:
    return ConfigError(
        "the GPU is cut into MIG instances, and its meter counts them all together.",
        hint=f"Switch MIG off (`nvidia-smi -mig 0`, as its owner). {TIME_ONLY}",
    )


def _refuse_without_counter(library: Any, handle: Any) -> None:
    try:
        library.nvmlDeviceGetTotalEnergyConsumption(handle)
    except library.NVMLError as error:
        raise ConfigError(
            f"the GPU {_text(library.nvmlDeviceGetName(handle))!r} has no energy counter "
            f"that can be read ({error}): it is older than Volta, or a virtual GPU.",
            hint=f"Use a whole GPU from Volta on. {TIME_ONLY}",
        ) from None


def _refuse_company(library: Any, handle: Any) -> None:
    running = library.nvmlDeviceGetComputeRunningProcesses(handle)
    others = [process.pid for process in running if process.pid != os.getpid()]
    if others:
        raise ConfigError(
            f"{len(others)} other processes use the GPU (pid "
            f"{', '.join(str(pid) for pid in others[:5])}): their power would be counted.",
            hint="Wait until they are done, or choose another GPU with "
            "CUDA_VISIBLE_DEVICES. `--share` measures all the same, and says so.",
        )


def _watts(field: Any) -> float:
    if field.nvmlReturn != 0:
        return math.nan
    return ctypes.c_uint(field.value.uiVal).value * _WATTS_PER_MILLIWATT


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
