"""What is run at each point of a plan."""

from carbjax._profiler.loads.build import load_of as load_of
from carbjax._profiler.loads.load import (
    Load as Load,
    Normal as Normal,
    abstract as abstract,
    allocate as allocate,
)
