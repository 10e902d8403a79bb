"""Values of a game as columns: one for each component, then the electricity."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from carbjax._carbon.emissions import COMPONENTS, Emissions

COLUMNS = (*COMPONENTS, "energy_j")
NUM_COLUMNS = len(COLUMNS)
Columns = Float[np.ndarray, "*batch 5"]
"""Grams of each of `COMPONENTS`, then J: the last axis is in the order of `COLUMNS`."""


def to_columns(emissions: Emissions) -> Columns:
    """The components along a new last axis, float64 on the host."""
    host = jax.device_get([getattr(emissions, name) for name in COLUMNS])
    return np.stack([np.asarray(x, np.float64) for x in host], axis=-1)


def to_emissions(columns: Columns) -> Emissions:
    """The columns by name."""
    by_name: dict[str, Any] = {name: columns[..., i] for i, name in enumerate(COLUMNS)}
    return Emissions(**by_name)


def total_of(columns: Columns) -> Float[np.ndarray, "*batch"]:
    """gCO2e of all components together."""
    return columns[..., : len(COMPONENTS)].sum(axis=-1)
