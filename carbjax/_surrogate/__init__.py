"""Latency and energy of an iteration, fitted to measured operators."""

from carbjax._surrogate.cost import AbstractIterationCost as AbstractIterationCost
from carbjax._surrogate.features import BatchFeatures as BatchFeatures
from carbjax._surrogate.specialise import (
    SpecialisedCost as SpecialisedCost,
    load_cost as load_cost,
)
from carbjax._surrogate.surrogate import Surrogate as Surrogate
from carbjax._surrogate.validity import outside_box as outside_box
