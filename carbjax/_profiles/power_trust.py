"""How far a power reading of a profiler that repeats one kernel can be trusted."""

import numpy as np

from carbjax._profiles.profile import Floats

TRUSTED_POWER_LATENCY_S = 1e-4
"""From here on a call is repeated for about a second, the window of the power meter."""
_REPEATED_READING = 0.1
_AT_LIMIT = 0.97
_OWN_SHARE = 0.75  # of a reading, where the call fills the window
_TOLERATED = 0.05  # of the power: the carried-over error that halves the trust


def power_trust(power_w: Floats, power_limit_w: Floats, latency_s: Floats) -> Floats:
    """Trust in [0, 1] in the power of each row of a file that is in the order of measuring.

    The meter averages over about a second, so a reading carries some of the power of what
    ran before. Three factors:

    - a call that was repeated for less than the window counts by its latency over
      `TRUSTED_POWER_LATENCY_S`, squared;
    - a value that another row has too, to all its digits, was read twice from one window:
      it gets a tenth;
    - if `f`, three quarters where the window is filled, is the share of the call itself
      and the row before read `q`, a reading `p` is off by `e = (1 - f) / f |p - q|`: it
      gets `1 / (1 + (e / (0.05 p))²)`.

    Readings at the limit are exempt from the last two: there all calls draw the same.
    """
    filled = np.minimum(1.0, latency_s / TRUSTED_POWER_LATENCY_S)
    _, reading, count = np.unique(power_w, return_inverse=True, return_counts=True)
    free = ~(power_w > _AT_LIMIT * power_limit_w)
    repeated = (count[reading.reshape(-1)] > 1) & free
    return (
        filled**2
        * np.where(repeated, _REPEATED_READING, 1.0)
        * np.where(free, _undisturbed(power_w, _OWN_SHARE * filled), 1.0)
    )


def _undisturbed(power_w: Floats, own_share: Floats) -> Floats:
    """Trust by how much of the power of the row before a reading can have carried over."""
    step = np.abs(np.diff(power_w, prepend=power_w[:1]))
    share = np.maximum(own_share, np.finfo(float).tiny)
    error = (1.0 - own_share) * step
    allowed = _TOLERATED * power_w * share
    return np.nan_to_num(allowed**2 / (allowed**2 + error**2), nan=0.0)
