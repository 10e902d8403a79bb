"""Systems from settings and configuration files."""

import os

from carbjax._carbon.intensity import Intensity
from carbjax._carbon.intensity_readers import read_intensity
from carbjax._serving.system import System
from carbjax._settings.checking import read_tables
from carbjax._settings.sections import SystemSettings


def read_system(path: str | os.PathLike) -> System:
    """The system of the `[system]` table of a TOML file; other tables may stand beside.

    Paths in the file are relative to its folder. Raises `ConfigError`.
    """
    tables = read_tables(os.fspath(path), needs_trace=False)
    return make_system(tables.system)


def make_system(settings: SystemSettings, intensity: Intensity | None = None) -> System:
    """The system that the settings describe, its intensity read unless given."""
    arguments = settings.model_dump(
        exclude={"carbon_intensity", "intensity_kind", "intensity_tz"}
    )
    if intensity is None:
        intensity = make_intensity(settings)
    return System.load(**arguments, carbon_intensity=intensity)


def make_intensity(settings: SystemSettings) -> Intensity:
    """The constant or the series that the settings name."""
    given = settings.carbon_intensity
    try:
        constant = float(given)
    except ValueError:
        return read_intensity(str(given), settings.intensity_kind, tz=settings.intensity_tz)
    return Intensity.constant(constant)
