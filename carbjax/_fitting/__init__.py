"""Fits of the surrogate to profiles and serving runs."""
