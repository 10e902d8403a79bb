"""Fits of the surrogate to profiles and serving runs."""

from carbjax._fitting.fit_profile import fit_profile as fit_profile
