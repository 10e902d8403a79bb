"""A workload of another size is served and attributed by programs compiled before."""

import contextlib

import jax
import numpy as np
import pytest

import carbjax as cj
from tests.criteria.sinners import tiny_system

COMPILED = "/jax/core/compile/backend_compile_duration"
SYSTEM = tiny_system()
ASKED = {
    "serve": lambda workload: cj.serve(workload, SYSTEM),
    "auto": lambda workload: cj.estimate_shapley(
        cj.ServingGame(workload, SYSTEM), budget=60, key=jax.random.key(0)
    ),
    **{
        method: lambda workload, method=method: cj.attribute(
            workload, SYSTEM, method=method
        )
        for method in ("shapley", "streaming", "retimed", "replay", "aumann_shapley")
    },
}


@contextlib.contextmanager
def counted():
    """The names of the programs that are compiled within the block."""
    names: list[str] = []

    def note(event: str, seconds: float, **about) -> None:
        if event == COMPILED:
            names.append(about.get("fun_name", "?"))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def busy(num_requests: int) -> cj.Workload:
    """Requests that share the machine, so that nothing can be taken apart."""
    rng = np.random.default_rng(num_requests)
    arrival = np.sort(rng.uniform(0, 0.1, num_requests))
    tokens = rng.integers((20, 5), (60, 20), (num_requests, 2))
    return cj.Workload(arrival, *tokens.T)


@pytest.mark.parametrize("name", ASKED)
def test_sizes_of_one_bucket_share_their_programs(name):
    """9 and 10 requests have 512 and 1024 coalitions, one chunk either way."""
    with counted() as first:
        ASKED[name](busy(9))
    with counted() as second:
        ASKED[name](busy(10))
        ASKED[name](busy(9))
    assert second == [] and (first or name != "serve")


def test_a_larger_size_is_counted():
    """The count can fail: 40 requests take another program than 9."""
    with counted() as names:
        ASKED["serve"](busy(40))
    assert names
