"""Attributions made by hand, so that ledgers and figures need no server."""

import numpy as np

from carbjax._attribution.attribution import Attribution
from carbjax._carbon.emissions import Emissions
from carbjax._workload import Workload


def requests(num_requests: int = 3, **kwargs) -> Workload:
    numbers = np.arange(1, num_requests + 1)
    kwargs.setdefault("request_ids", tuple(f"r{i}" for i in numbers))
    return Workload(numbers * 1.0, 10 * numbers, numbers, **kwargs)


def attributed(num_players: int = 3, stderr=None, flags=()) -> Attribution:
    unit = np.arange(1.0, num_players + 1)
    shares = Emissions(unit, 2 * unit, 0.5 * unit, 0.25 * unit, 100 * unit)
    rest = Emissions(*(np.array(value) for value in (0.0, 0.0, 4.0, 2.0, 700.0)))
    whole = Emissions(
        *(
            np.sum(getattr(shares, name)) + getattr(rest, name)
            for name in ("prefill", "decode", "idle", "embodied", "energy_j")
        )
    )
    return Attribution("by_hand", shares, rest, whole, stderr=stderr, flags=flags)
