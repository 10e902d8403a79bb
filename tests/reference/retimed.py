"""Streaming with every absence's change of the schedule, by brute quadrature."""

import numpy as np

from .features import Features
from .games import Served, iteration_cost
from .simulator import Iteration, simulate
from .streaming import _STENCIL, _STEP, _TAU, _WEIGHT, fixed_part, streaming_shares


def without(served: Served, absent: int) -> Served:
    """The run had the player not come; its window and its requests' numbers are kept."""
    kept = [r for r, player in enumerate(served.player) if player != absent]
    requests = [served.requests[r] for r in kept]
    result = simulate(requests, served.policy, served.caps, served.cost_fn)
    iterations = [
        i._replace(
            participants=tuple(p._replace(request=kept[p.request]) for p in i.participants)
        )
        for i in result.iterations
    ]
    return served._replace(result=result._replace(iterations=iterations))


def retimed_shares(served: Served) -> np.ndarray:
    """Streaming's shares, and for each absence what it changes, borne by both sides."""
    shares = np.array(streaming_shares(served))
    for absent in range(served.num_players):
        change = _before(without(served, absent), absent) - _before(served, absent)
        shares += change
        shares[absent] -= change.sum()
    return shares


def _before(served: Served, absent: int) -> np.ndarray:
    """What each player bears of the iterations without `absent`, if it comes before."""
    shares = np.zeros(served.num_players)
    for iteration in served.result.iterations:
        present = [p for p in iteration.participants if served.player[p.request] != absent]
        if not present:
            continue
        batch = Features(*np.sum([p.features for p in present], axis=0))
        left = iteration._replace(features=batch, participants=tuple(present))
        prices, who = _prices(served, left), [served.player[p.request] for p in present]
        fixed = fixed_part(served, left) / (len(set(who)) + 1)
        for p, player in zip(present, who, strict=True):
            shares[player] += fixed / who.count(player) + np.dot(p.features, prices)
    return shares


def _prices(served: Served, iteration: Iteration) -> list[float]:
    """Integral over tau in [0, 1] of (1 - tau) times the gradient at tau z, by feature."""
    prices = []
    for m, amount in enumerate(iteration.features):
        slope = np.zeros_like(_TAU)
        for shift, weight in _STENCIL if amount > 0 else ():
            along = [z * _TAU for z in iteration.features]
            along[m] = amount * _TAU * (1 + shift * _STEP)
            costs = iteration_cost(served, iteration, Features(*along))
            slope = slope + weight * costs / (_STEP * amount * _TAU)
        prices.append(float(np.sum(_WEIGHT * (1 - _TAU) * slope)))
    return prices
