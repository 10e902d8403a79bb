"""How strongly players interact, learnt from the values: the likeliest odd kernel."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import linalg, optimize

from carbjax._estimators.odd_kernel import OddKernel, Rows

_MOST_ROWS = 400  # rows that the kernel is learnt from; its cost grows with their cube
_MOST_ROUNDS = 40
# Relative to the mean variance. Values are exact: it only keeps the factor stable.
NUGGET = 1e-8
# What is expected of the logarithms before any value is seen: mean, standard deviation.
_COUPLING = (0.5, 3.0)
_LINEAR = (0.0, 7.0)
_EXPONENT = (0.7, 0.4)
_OWN = (0.0, 0.4)
_DOUBT = (0.0, 0.5)
# A control with doubts leaves little that is additive.
_DOUBTFUL_COUPLING = (1.5, 1.0)
_DOUBTFUL_LINEAR = (-4.0, 2.0)
_LIKELY_MULTIPLE = 0.3  # of a doubt
_BOUND = 6.0  # of each logarithm, either way


class Prior(NamedTuple):
    """Density of the kernel's parameters: normal, independent."""

    mean: Float[np.ndarray, " parameters"]
    deviation: Float[np.ndarray, " parameters"]

    @staticmethod
    def of(num_players: int, num_doubts: int) -> "Prior":
        common = (_COUPLING, _LINEAR)
        if num_doubts:
            common = (_DOUBTFUL_COUPLING, _DOUBTFUL_LINEAR)
        rows = (*common, _EXPONENT, *[_OWN] * num_players, *[_DOUBT] * num_doubts)
        return Prior(*np.array(rows).T)


def likeliest_kernel(
    rows: Rows,
    values: Float[np.ndarray, " rows"],
    log_weight: Float[np.ndarray, " players"],
) -> OddKernel:
    """The kernel under which the values of the first rows are likeliest.

    A player's coupling is `exp(c) w^p e / n` and its linear variance
    `exp(l) (w^p e)^2 / n`, with `log w` given, e its own factor near 1, and c, l, p common
    to all. A doubt's variance is exp of its own parameter. The scale of the values is
    integrated out.
    """
    rows, values = rows.take(slice(_MOST_ROWS)), values[:_MOST_ROWS]
    prior = Prior.of(rows.signs.shape[1], rows.doubts.shape[1])
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


def doubt_unit(
    values: Float[np.ndarray, " rows"], log_weight: Float[np.ndarray, " players"]
) -> float:
    """The unit of doubts in which a variance of 1 suits them.

    A multiple of `_LIKELY_MULTIPLE` is then as likely as the values are.
    """
    prior = _kernel(Prior.of(len(log_weight), 1).mean[:-1], log_weight)
    one = Rows.of(np.ones((1, len(log_weight))))
    expected = float(prior.variance(one)[0])
    unit = float(np.sqrt(np.mean(values**2) / expected)) / _LIKELY_MULTIPLE
    return unit if unit > 0 else 1.0


def misjudgement(
    rows: Rows,
    values: Float[np.ndarray, " rows"],
    log_weight: Float[np.ndarray, " players"],
) -> float:
    """How much larger errors are than the kernel expects, squared; at least 1.

    Each half of the rows is predicted from the other, whose kernel has not seen it.
    """
    rows, values = rows.take(slice(_MOST_ROWS)), values[:_MOST_ROWS]
    rows = rows.over(doubt_unit(values, log_weight))
    half = np.arange(len(values)) % 2 == 0
    surprise = [
        _surprise(
            rows.take(seen), values[seen], rows.take(~seen), values[~seen], log_weight
        )
        for seen in (half, ~half)
        if seen.any() and not seen.all()
    ]
    return max(1.0, float(np.mean(surprise))) if surprise else 1.0


def _surprise(
    rows: Rows,
    values: Float[np.ndarray, " rows"],
    others: Rows,
    truth: Float[np.ndarray, " others"],
    log_weight: Float[np.ndarray, " players"],
) -> float:
    """Mean square of the errors at other rows over their expected variance."""
    kernel = likeliest_kernel(rows, values, log_weight)
    lower = factor(kernel, rows)
    across = kernel.covariance(others, rows)
    solved = linalg.cho_solve(lower, values)
    scale = float(values @ solved) / len(values)
    left = kernel.variance(others) - (across.T * linalg.cho_solve(lower, across.T)).sum(
        axis=0
    )
    expected = scale * np.maximum(left, NUGGET * left.max(initial=0.0))
    wrong = (truth - across @ solved) ** 2
    return float(wrong.sum() / expected.sum()) if expected.sum() > 0 else 1.0


def factor(kernel: OddKernel, rows: Rows):
    """Cholesky factor of the covariance of the values at `rows`."""
    covariance = kernel.covariance(rows, rows)
    covariance[np.diag_indices_from(covariance)] += NUGGET * covariance.diagonal().mean()
    return linalg.cho_factor(covariance, lower=True, overwrite_a=True)


def _kernel(
    parameters: Float[np.ndarray, " parameters"], log_weight: Float[np.ndarray, " players"]
) -> OddKernel:
    coupling, linear, exponent = parameters[:3]
    num_players = len(log_weight)
    own, doubt = np.split(parameters[3:], [num_players])
    relative = exponent * log_weight + own
    size = np.log(num_players)
    # Beyond this a product of signs would be certain: tanh rounds to 1.
    bounded = np.minimum(coupling + relative - size, 1.5)
    linear = np.exp(linear + 2 * relative - size)
    return OddKernel(np.exp(bounded), linear, np.exp(doubt))


def _objective(
    parameters: Float[np.ndarray, " parameters"],
    rows: Rows,
    values: Float[np.ndarray, " rows"],
    log_weight: Float[np.ndarray, " players"],
    prior: Prior,
) -> tuple[float, Float[np.ndarray, " parameters"]]:
    """Minus the logarithm of the posterior density, and its gradient."""
    away = (parameters - prior.mean) / prior.deviation
    kernel = _kernel(parameters, log_weight)
    try:
        cost, by_coupling, by_linear, by_doubt = _minus_log_likelihood(kernel, rows, values)
    except linalg.LinAlgError:
        return np.inf, np.zeros_like(parameters)
    own = by_coupling + 2 * by_linear
    common = [by_coupling.sum(), by_linear.sum(), own @ log_weight]
    gradient = np.concatenate([common, own, by_doubt]) + away / prior.deviation
    return cost + 0.5 * float(away @ away), gradient


def _minus_log_likelihood(
    kernel: OddKernel, rows: Rows, values: Float[np.ndarray, " rows"]
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """With the scale at its likeliest; gradients by the logs of the kernel's fields."""
    number = len(values)
    lower = factor(kernel, rows)
    solved = linalg.cho_solve(lower, values)
    scale = max(float(values @ solved) / number, np.finfo(float).tiny)
    cost = 0.5 * number * np.log(scale) + np.log(lower[0].diagonal()).sum()
    excess = linalg.cho_solve(lower, np.eye(number)) - np.outer(solved, solved) / scale
    x, doubts = rows
    steep = ((excess * kernel.slope(x, x)) @ x * x).sum(axis=0)
    # The scale C falls as couplings grow: d log C / d a = -tanh(a).
    by_coupling = steep - np.tanh(kernel.coupling) * (excess * kernel.products(x, x)).sum()
    by_linear = (excess @ x * x).sum(axis=0)
    by_doubt = (excess @ doubts * doubts).sum(axis=0)
    found = zip((by_coupling, by_linear, by_doubt), kernel, strict=True)
    return float(cost), *(slope * field / 2 for slope, field in found)
