"""How strongly players interact, learnt from the values: the likeliest odd kernel."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import linalg, optimize

from carbjax._estimators.odd_kernel import OddKernel, Signs

_MOST_ROWS = 400  # rows that the kernel is learnt from; its cost grows with their cube
_MOST_ROUNDS = 40
# Relative to the mean variance. Values are exact: it only keeps the factor stable.
NUGGET = 1e-8
# What is expected of the logarithms before any value is seen: mean, standard deviation.
_COUPLING = (0.5, 3.0)
_LINEAR = (0.0, 7.0)
_EXPONENT = (0.7, 0.4)
_OWN = (0.0, 0.4)
_BOUND = 6.0  # of each logarithm, either way


class Prior(NamedTuple):
    """Density of the kernel's parameters: normal, independent."""

    mean: Float[np.ndarray, " parameters"]
    deviation: Float[np.ndarray, " parameters"]

    @staticmethod
    def of(num_players: int) -> "Prior":
        rows = (_COUPLING, _LINEAR, _EXPONENT, *[_OWN] * num_players)
        return Prior(*np.array(rows).T)


def likeliest_kernel(
    rows: Signs,
    values: Float[np.ndarray, " rows"],
    log_weight: Float[np.ndarray, " players"],
) -> OddKernel:
    """The kernel under which the values of the first rows are likeliest.

    A player's coupling is `exp(c) w^p e / n` and its linear variance
    `exp(l) (w^p e)^2 / n`, with `log w` given, e its own factor near 1, and c, l, p common
    to all. The scale of the values is integrated out.
    """
    rows, values = rows[:_MOST_ROWS], values[:_MOST_ROWS]
    prior = Prior.of(rows.shape[1])
    if not np.abs(values).max(initial=0.0) > 0:
        return _kernel(prior.mean, log_weight)
    found = optimize.minimize(
        _objective,
        prior.mean,
        args=(rows, values / np.abs(values).max(), log_weight, prior),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_BOUND, _BOUND)] * len(prior.mean),
        options={"maxiter": _MOST_ROUNDS},
    )
    return _kernel(found.x, log_weight)


def misjudgement(
    rows: Signs,
    values: Float[np.ndarray, " rows"],
    log_weight: Float[np.ndarray, " players"],
) -> float:
    """How much larger errors are than the kernel expects, squared; at least 1.

    Each half of the rows is predicted from the other, whose kernel has not seen it.
    """
    rows, values = rows[:_MOST_ROWS], values[:_MOST_ROWS]
    half = np.arange(len(rows)) % 2 == 0
    surprise = [
        _surprise(rows[seen], values[seen], rows[~seen], values[~seen], log_weight)
        for seen in (half, ~half)
        if seen.any() and not seen.all()
    ]
    return max(1.0, float(np.mean(surprise))) if surprise else 1.0


def _surprise(
    rows: Signs,
    values: Float[np.ndarray, " rows"],
    others: Signs,
    truth: Float[np.ndarray, " others"],
    log_weight: Float[np.ndarray, " players"],
) -> float:
    """Mean square of the errors at other rows over their expected variance."""
    kernel = likeliest_kernel(rows, values, log_weight)
    lower = factor(kernel, rows)
    across = kernel.covariance(others, rows)
    solved = linalg.cho_solve(lower, values)
    scale = float(values @ solved) / len(values)
    left = kernel.variance - (across.T * linalg.cho_solve(lower, across.T)).sum(axis=0)
    expected = scale * np.maximum(left, NUGGET * left.max(initial=0.0))
    wrong = (truth - across @ solved) ** 2
    return float(wrong.sum() / expected.sum()) if expected.sum() > 0 else 1.0


def factor(kernel: OddKernel, rows: Signs):
    """Cholesky factor of the covariance of the values at `rows`."""
    covariance = kernel.covariance(rows, rows)
    covariance[np.diag_indices_from(covariance)] += NUGGET * covariance.diagonal().mean()
    return linalg.cho_factor(covariance, lower=True, overwrite_a=True)


def _kernel(
    parameters: Float[np.ndarray, " parameters"], log_weight: Float[np.ndarray, " players"]
) -> OddKernel:
    coupling, linear, exponent = parameters[:3]
    relative = exponent * log_weight + parameters[3:]
    size = np.log(len(log_weight))
    # Beyond this a product of signs would be certain: tanh rounds to 1.
    bounded = np.minimum(coupling + relative - size, 1.5)
    return OddKernel(np.exp(bounded), np.exp(linear + 2 * relative - size))


def _objective(
    parameters: Float[np.ndarray, " parameters"],
    rows: Signs,
    values: Float[np.ndarray, " rows"],
    log_weight: Float[np.ndarray, " players"],
    prior: Prior,
) -> tuple[float, Float[np.ndarray, " parameters"]]:
    """Minus the logarithm of the posterior density, and its gradient."""
    away = (parameters - prior.mean) / prior.deviation
    kernel = _kernel(parameters, log_weight)
    try:
        cost, by_coupling, by_linear = _minus_log_likelihood(kernel, rows, values)
    except linalg.LinAlgError:
        return np.inf, np.zeros_like(parameters)
    own = by_coupling + 2 * by_linear
    common = [by_coupling.sum(), by_linear.sum(), own @ log_weight]
    gradient = np.concatenate([common, own]) + away / prior.deviation
    return cost + 0.5 * float(away @ away), gradient


def _minus_log_likelihood(
    kernel: OddKernel, rows: Signs, values: Float[np.ndarray, " rows"]
) -> tuple[float, Float[np.ndarray, " players"], Float[np.ndarray, " players"]]:
    """With the scale at its likeliest; gradients by the logs of coupling and linear."""
    number = len(values)
    lower = factor(kernel, rows)
    solved = linalg.cho_solve(lower, values)
    scale = max(float(values @ solved) / number, np.finfo(float).tiny)
    cost = 0.5 * number * np.log(scale) + np.log(lower[0].diagonal()).sum()
    excess = linalg.cho_solve(lower, np.eye(number)) - np.outer(solved, solved) / scale
    odd = kernel.covariance(rows, rows) - (rows * kernel.linear) @ rows.T
    steep = ((excess * kernel.slope(rows, rows)) @ rows * rows).sum(axis=0)
    # The scale C falls as couplings grow: d log C / d a = -tanh(a).
    by_coupling = steep - np.tanh(kernel.coupling) * (excess * odd).sum()
    by_linear = (excess @ rows * rows).sum(axis=0)
    return float(cost), by_coupling * kernel.coupling / 2, by_linear * kernel.linear / 2
