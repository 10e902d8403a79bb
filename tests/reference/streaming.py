"""Aumann-Shapley prices of each iteration, by brute quadrature of finite differences."""

import numpy as np

from .features import Features
from .games import Served, iteration_cost
from .shares import by_player
from .simulator import Iteration

# Panels that halve towards 0, where a cost may bend within a few tokens.
_PANELS, _NODES_A_PANEL = 30, 10
# Five-point differences of steps h = 1e-3 z err by h^4 times a fifth derivative.
_STEP = 1e-3
_STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
_VANISHING = 1e-12


def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on (0, 1], panel by panel."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES_A_PANEL)
    edges = np.concatenate([[0.0], 0.5 ** np.arange(_PANELS - 1, -1, -1)])
    low, width = edges[:-1, None], np.diff(edges)[:, None]
    return (low + width * (nodes + 1) / 2).ravel(), (width * weights / 2).ravel()


_TAU, _WEIGHT = _quadrature()


def fixed_part(served: Served, iteration: Iteration) -> float:
    """c_j(0+): the limit along the batch's own ray, with somebody still present."""

    def cost(scale: float) -> float:
        batch = Features(*(z * scale for z in iteration.features))
        return float(iteration_cost(served, iteration, batch))

    return 2 * cost(_VANISHING) - cost(2 * _VANISHING)


def mean_prices(served: Served, iteration: Iteration) -> Features:
    """Integral over tau in [0, 1] of the gradient of c_j at tau z_j, by feature.

    A feature that nobody brings has no price: 0.
    """
    prices = []
    for m, amount in enumerate(iteration.features):
        price = 0.0
        for shift, weight in _STENCIL if amount > 0 else ():
            along = [z * _TAU for z in iteration.features]
            along[m] = amount * _TAU * (1 + shift * _STEP)
            costs = iteration_cost(served, iteration, Features(*along))
            slope = weight * costs / (_STEP * amount * _TAU)
            price += float(np.sum(_WEIGHT * slope))
        prices.append(price)
    return Features(*prices)


def iteration_shares(served: Served, iteration: Iteration) -> list[float]:
    """phi_ij = c_j(0+) / b_j + z_ij . mean prices, one for each participant."""
    fixed = fixed_part(served, iteration) / len(iteration.participants)
    prices = mean_prices(served, iteration)
    return [
        fixed + sum(z * price for z, price in zip(p.features, prices, strict=True))
        for p in iteration.participants
    ]


def streaming_shares(served: Served) -> list[float]:
    """Each player's sum over the iterations it took part in."""
    shares = [0.0] * len(served.requests)
    for iteration in served.result.iterations:
        parts = iteration_shares(served, iteration)
        for p, share in zip(iteration.participants, parts, strict=True):
            shares[p.request] += share
    return by_player(served, shares)
