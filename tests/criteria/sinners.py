"""A sound method, and one for each way in which a method can be wrong."""

import dataclasses
import itertools

import jax
import numpy as np

from carbjax._attribution.attribution import Attribution
from carbjax._carbon.intensity import Intensity
from carbjax._hardware import Accelerator
from carbjax._serving.system import System
from tests.engine_cases import ReferenceCost
from tests.reference.costs import random_cost
from tests.systems import TINY


def tiny_system() -> System:
    """A small machine with the judge's cost, which compiles quickly."""
    gpu = Accelerator("any", 60.0, 60.0, 1000.0, 1e9, 1e12, 1e15, 30.0, 0.0, 1, 50.0, 4.0)
    return System(
        accelerator=gpu,
        model=TINY,
        cost=ReferenceCost(random_cost(np.random.default_rng(3))),
        carbon_intensity=Intensity.constant(400.0),
        kv_capacity_tokens=10**6,
    )


def divide(weights, timeline, unattributed=1.0) -> Attribution:
    """What was emitted above v(none), in proportion to weights."""
    nobody, whole = timeline.standing, timeline.emissions
    part = np.asarray(weights, float) / np.sum(weights)
    shares = jax.tree.map(lambda x: float(x) * part, whole - nobody)
    left = jax.tree.map(lambda x: unattributed * x, nobody)
    return Attribution("divide", shares, left, whole)


def _tokens(workload):
    tokens = workload.num_prefill_tokens + workload.num_decode_tokens
    return np.bincount(workload.player, tokens, workload.num_players)


def by_tokens(game, *, workload=None, system=None, timeline=None, key=None):
    return divide(_tokens(workload), timeline)


def equal_split(game, *, workload=None, system=None, timeline=None, key=None):
    """Charges null players, and nobody by what they do."""
    return divide(np.ones(workload.num_players), timeline)


def first_pays_more(game, *, workload=None, system=None, timeline=None, key=None):
    """Breaks symmetry."""
    return divide(
        _tokens(workload) * (1 + (np.arange(workload.num_players) == 0)), timeline
    )


def too_cheap(game, *, workload=None, system=None, timeline=None, key=None):
    """Attributes 9 grams of 10, and calls the tenth unattributed."""
    found = divide(_tokens(workload), timeline)
    tenth = jax.tree.map(lambda x: np.sum(x) / 10, found.emissions)
    return dataclasses.replace(
        found,
        emissions=jax.tree.map(lambda x: 0.9 * x, found.emissions),
        remainder=found.remainder + tenth,
    )


def does_not_close(game, *, workload=None, system=None, timeline=None, key=None):
    """Loses half of what the machine emits on its own."""
    return divide(_tokens(workload), timeline, unattributed=0.5)


def raises(game, *, workload=None, system=None, timeline=None, key=None):
    raise ZeroDivisionError("no tokens\nsecond line")


def returns_an_array(game, *, workload=None, system=None, timeline=None, key=None):
    return np.ones(workload.num_players)


def wrong_shape(game, *, workload=None, system=None, timeline=None, key=None):
    return divide(np.ones(workload.num_players + 1), timeline)


def not_a_number(game, *, workload=None, system=None, timeline=None, key=None):
    weights = _tokens(workload)
    weights[0] = np.nan
    return divide(weights, timeline)


_calls = itertools.count(1)


def not_deterministic(game, *, workload=None, system=None, timeline=None, key=None):
    return divide(
        _tokens(workload) + [next(_calls), *[0] * (workload.num_players - 1)], timeline
    )


SINS = {
    "raises": raises,
    "no_attribution": returns_an_array,
    "shape": wrong_shape,
    "not_finite": not_a_number,
    "not_deterministic": not_deterministic,
    "open": does_not_close,
}
