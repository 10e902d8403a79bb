"""The system function: scheduler, model and hardware, run event by event."""

from carbjax._serving.continuous import ContinuousServing as ContinuousServing
from carbjax._serving.serve import Timeline as Timeline, serve as serve
from carbjax._serving.system import System as System
