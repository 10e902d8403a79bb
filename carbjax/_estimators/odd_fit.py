"""How strongly players interact, learnt from the values: the likeliest odd kernel."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import linalg, optimize

from carbjax._estimators.odd_kernel import OddKernel, Rows
from carbjax._estimators.odd_likelihood import NUGGET, Factor, minus_log_likelihood
from carbjax._estimators.one_thread import in_one_thread

_MOST_ROWS = 400  # rows that the kernel is learnt from; its cost grows with their cube
_FEWEST_ROWS = 12  # from which it is worth learning where to start
_EVEN, _ODD = slice(None, None, 2), slice(1, None, 2)
_MOST_ROUNDS = 40
_TOLERANCE = 1e-3  # of the logarithm of the likelihood, of which 1 is about one sigma
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


class Learnt(NamedTuple):
    """The likeliest parameters of a kernel, and what they were learnt from.

    A player's coupling is `exp(c) w^p e / n` and its linear variance
    `exp(l) (w^p e)^2 / n`, with `log w` given, e its own factor near 1, and c, l, p common
    to all. A doubt's variance is exp of its own parameter. The scale of the values is
    integrated out.
    """

    parameters: Float[np.ndarray, " parameters"]
    rows: Rows
    values: Float[np.ndarray, " rows"]
    log_weight: Float[np.ndarray, " players"]
    half: "Learnt | None"  # from every second row, where these are enough

    @staticmethod
    def of(
        rows: Rows,
        values: Float[np.ndarray, " rows"],
        log_weight: Float[np.ndarray, " players"],
    ) -> "Learnt":
        """From the first rows, starting from what every second of them says."""
        rows, values = rows.take(slice(_MOST_ROWS)), values[:_MOST_ROWS]
        half = None
        if len(values) >= 2 * _FEWEST_ROWS:
            half = Learnt.of(rows.take(_EVEN), values[_EVEN], log_weight)
        prior = Prior.of(len(log_weight), rows.doubts.shape[1])
        start = prior.mean if half is None else half.parameters
        found = _likeliest(rows, values, log_weight, prior, start)
        return Learnt(found, rows, values, log_weight, half)

    @property
    def kernel(self) -> OddKernel:
        return _kernel(self.parameters, self.log_weight)

    def misjudgement(self) -> float:
        """How much larger errors are than the kernel expects, squared; at least 1.

        Each half of the rows is predicted from the other, whose kernel has not seen it.
        """
        if len(self.values) < 2:
            return 1.0
        even = self._of_part(_EVEN) if self.half is None else self.half
        odd = self._of_part(_ODD)
        return max(1.0, (even.surprise(odd) + odd.surprise(even)) / 2)

    def _of_part(self, which: slice) -> "Learnt":
        return Learnt.of(self.rows.take(which), self.values[which], self.log_weight)

    def surprise(self, others: "Learnt") -> float:
        """Mean square of the errors at other rows over their expected variance."""
        factor = Factor.of(self.kernel.covariance(self.rows, self.rows))
        across = self.kernel.covariance(others.rows, self.rows)
        solved = factor.solve(self.values)
        scale = float(self.values @ solved) / len(self.values)
        known = (across * factor.solve(across.T).T).sum(axis=1)
        left = self.kernel.variance(others.rows) - known
        expected = scale * np.maximum(left, NUGGET * left.max(initial=0.0))
        wrong = (others.values - across @ solved) ** 2
        return float(wrong.sum() / expected.sum()) if expected.sum() > 0 else 1.0


def _likeliest(
    rows: Rows,
    values: Float[np.ndarray, " rows"],
    log_weight: Float[np.ndarray, " players"],
    prior: Prior,
    start: Float[np.ndarray, " parameters"],
) -> Float[np.ndarray, " parameters"]:
    largest = np.abs(values).max(initial=0.0)
    if not largest > 0:
        return prior.mean
    with in_one_thread(len(values)):
        found = optimize.minimize(
            _objective,
            start,
            args=(rows, values / largest, log_weight, prior),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-_BOUND, _BOUND)] * len(start),
            # Relative to the logarithm of the likelihood, which grows with the rows.
            options={"maxiter": _MOST_ROUNDS, "ftol": _TOLERANCE / len(values)},
        )
    return found.x


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
        cost, by_coupling, by_linear, by_doubt = minus_log_likelihood(kernel, rows, values)
    except linalg.LinAlgError:
        return np.inf, np.zeros_like(parameters)
    own = by_coupling + 2 * by_linear
    common = [by_coupling.sum(), by_linear.sum(), own @ log_weight]
    gradient = np.concatenate([common, own, by_doubt]) + away / prior.deviation
    return cost + 0.5 * float(away @ away), gradient
