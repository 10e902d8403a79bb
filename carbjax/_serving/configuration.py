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
        exclude={name for name in SystemSettings.model_fields if "intensity" in name}
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
        return read_intensity(
            str(given),
            settings.intensity_kind,
            column=settings.intensity_column,
            tz=settings.intensity_tz,
            missing=settings.intensity_missing,
        )
    return Intensity.constant(constant)
