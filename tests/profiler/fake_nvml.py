"""A module that answers as `pynvml` does, for a GPU of known power."""

import time
from types import SimpleNamespace

TICK_S = 0.02
POWER_W = 300.0


class FakeNvml:
    """Counts energy at `POWER_W`, in ticks. What is named in `broken` is not supported."""

    class NVMLError(Exception):
        pass

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0
    NVML_FI_DEV_POWER_AVERAGE, NVML_FI_DEV_POWER_INSTANT = 185, 186

    def __init__(
        self,
        *,
        broken=(),
        mig=0,
        pids=(),
        gigabytes=80,
        name="NVIDIA H200",
        tick_s=TICK_S,
    ):
        self.broken, self.mig, self.pids = broken, mig, pids
        self.gigabytes, self.name, self.tick_s = gigabytes, name, tick_s
        self.is_open, self.throttle, self.watts = False, 0, POWER_W

    def __getattribute__(self, name):
        if name.startswith("nvml") and name in object.__getattribute__(self, "broken"):
            raise FakeNvml.NVMLError("Not Supported")
        return object.__getattribute__(self, name)

    def nvmlInit(self):
        self.is_open = True

    def nvmlShutdown(self):
        self.is_open = False

    def nvmlDeviceGetHandleByIndex(self, index):
        if index != 0:
            raise FakeNvml.NVMLError("Not Found")
        return "gpu"

    def nvmlDeviceGetName(self, handle):
        return self.name

    def nvmlSystemGetDriverVersion(self):
        return b"580.1"

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return 700_000

    def nvmlDeviceGetMemoryInfo(self, handle):
        size = int(self.gigabytes * 1e9)
        return SimpleNamespace(free=size, total=size)

    def nvmlDeviceGetMigMode(self, handle):
        return self.mig, self.mig

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [SimpleNamespace(pid=pid) for pid in self.pids]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        ticks = time.monotonic() // self.tick_s
        return round(1000 * self.watts * self.tick_s * ticks)

    def nvmlDeviceGetFieldValues(self, handle, asked):
        watts = {(186, 0): self.watts, (185, 2): 90.0}
        return [
            SimpleNamespace(
                nvmlReturn=0, value=SimpleNamespace(uiVal=round(1000 * watts[a]))
            )
            for a in asked
        ]

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return 1980

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return 50

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return self.throttle
