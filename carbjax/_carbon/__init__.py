"""Carbon intensity of electricity, and the carbon model of a backend."""

from carbjax._carbon.intensity import (
    Intensity as Intensity,
    RelativeIntensity as RelativeIntensity,
)
from carbjax._carbon.intensity_readers import read_intensity as read_intensity
