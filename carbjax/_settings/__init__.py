"""Settings of a run and their checks. Light: neither jax nor arrays are imported."""
