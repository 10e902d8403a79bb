"""Accelerators and model shapes: what a system is made of."""

from carbjax._hardware.accelerator import Accelerator as Accelerator
from carbjax._hardware.memory import kv_capacity_tokens as kv_capacity_tokens
from carbjax._hardware.model import ModelShape as ModelShape
from carbjax._hardware.tables import (
    ACCELERATORS as ACCELERATORS,
    MODELS as MODELS,
    accelerator as accelerator,
    caveats as caveats,
    model as model,
    sources as sources,
)
