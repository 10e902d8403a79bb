"""Measured operator calls: one table, and readers of the formats they come in."""

from carbjax._profiles.profile import Profile as Profile
from carbjax._profiles.read import read_profile as read_profile
