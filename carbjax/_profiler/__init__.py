"""Measures a layer's operators on this machine: latency, and power by NVML's counter."""

from carbjax._profiler.device import (
    known_accelerator as known_accelerator,
    require_same_gpu as require_same_gpu,
)
from carbjax._profiler.estimate import (
    SLOW as SLOW,
    Estimate as Estimate,
    Rates as Rates,
    estimate as estimate,
    memory_bytes as memory_bytes,
)
from carbjax._profiler.grid import BLOCKS as BLOCKS
from carbjax._profiler.nvml import open_gpu as open_gpu
from carbjax._profiler.plan import Plan as Plan, make_plan as make_plan, without as without
from carbjax._profiler.protocol import Protocol as Protocol
from carbjax._profiler.result import (
    Device as Device,
    Outcome as Outcome,
    metadata as metadata,
    outcome as outcome,
)
from carbjax._profiler.session import measure_plan as measure_plan
from carbjax._profiler.shape import LayerShape as LayerShape
