"""The requests that benchmarks serve."""

import numpy as np

import carbjax as cj
from experiments.workbench.inputs import CONVERSATIONS, conversations, data_path

_MADE_UP = 2000


def requests(most: int) -> cj.Workload:
    """The first of the Azure conversation trace; without the data, made-up ones like it."""
    if data_path(CONVERSATIONS).is_file():
        trace = conversations()
    else:
        rng = np.random.default_rng(0)
        trace = cj.Workload(
            np.cumsum(rng.exponential(0.18, _MADE_UP)),
            np.clip(rng.lognormal(6.6, 1.0, _MADE_UP), 1, 8000).astype(int),
            np.clip(rng.lognormal(5.0, 0.8, _MADE_UP), 1, 1000).astype(int),
        )
    return trace.select(slice(0, most))


def system() -> cj.System:
    """One H200 with Llama-3.1-8B and chunked prefill, the full operator surrogate."""
    return cj.System.load("h200-sxm", "llama-3.1-8b")
