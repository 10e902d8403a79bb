"""How likely values are of a random odd game, and the factor that all else is solved by."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import linalg

from carbjax._estimators.odd_kernel import OddKernel, Rows

# Relative to the mean variance. Values are exact: it only keeps the factor stable.
NUGGET = 1e-8

_factorize, _solve, _invert = linalg.get_lapack_funcs(
    ("potrf", "potrs", "potri"), dtype=np.float64
)
(_add_square,) = linalg.get_blas_funcs(("syr",), dtype=np.float64)

Square = Float[np.ndarray, "rows rows"]


class Factor(NamedTuple):
    """Cholesky factor of a covariance: lower, zeros above."""

    lower: Square

    @staticmethod
    def of(covariance: Square) -> "Factor":
        """Overwrites the covariance. Raises `LinAlgError` where it is singular."""
        covariance[np.diag_indices_from(covariance)] += _nugget(covariance)
        # LAPACK counts by columns: the transpose of what is symmetric spares it a copy.
        lower, failed = _factorize(covariance.T, lower=1, overwrite_a=1)
        if failed or not np.isfinite(lower[-1, -1]):
            raise linalg.LinAlgError("the covariance is singular or not finite.")
        return Factor(lower)

    def solve(self, right: np.ndarray) -> np.ndarray:
        """The covariance's inverse times `right`, `"rows *columns"`."""
        return _solve(self.lower, right, lower=1)[0]


class Likelihood(NamedTuple):
    """Minus its logarithm, and the slopes by the logarithms of the kernel's fields."""

    cost: float
    by_coupling: Float[np.ndarray, " players"]
    by_linear: Float[np.ndarray, " players"]
    by_doubt: Float[np.ndarray, " doubts"]


def minus_log_likelihood(
    kernel: OddKernel, rows: Rows, values: Float[np.ndarray, " rows"]
) -> Likelihood:
    """Of values of a game of this kernel, with the scale at its likeliest.

    Raises `LinAlgError` where the covariance is singular.
    """
    number, x, joined = len(values), rows.signs, rows.joined
    covariance, slope = kernel.products_and_slope(x, x)
    covariance += (joined * kernel.own) @ joined.T
    nugget = _nugget(covariance)
    factor = Factor.of(covariance)
    solved = factor.solve(values)
    scale = max(float(values @ solved) / number, np.finfo(float).tiny)
    cost = 0.5 * number * np.log(scale) + np.log(factor.lower.diagonal()).sum()
    excess = _half_excess(factor, solved / np.sqrt(scale))
    by_own = (excess @ joined * joined).sum(axis=0) * kernel.own
    # Of the whole covariance, products, own and nugget, the slope by the scale is 0.
    by_products = -by_own.sum() - nugget * excess.diagonal().sum()
    excess *= slope.T
    steep = (excess @ x * x).sum(axis=0)
    # The scale C falls as couplings grow: d log C / d a = -tanh(a).
    by_coupling = (steep - np.tanh(kernel.coupling) * by_products) * kernel.coupling
    by_linear, by_doubt = np.split(by_own, [x.shape[1]])
    return Likelihood(float(cost), by_coupling, by_linear, by_doubt)


def _nugget(covariance: Square) -> float:
    return NUGGET * float(covariance.diagonal().mean())


def _half_excess(factor: Factor, solved: Float[np.ndarray, " rows"]) -> Square:
    """The covariance's inverse less `solved solved'`, as a lower triangle.

    The diagonal is halved: the triangle and its transpose add up to the whole, and in a
    quadratic form the triangle is worth half of it. Overwrites the factor.
    """
    inverse, _ = _invert(factor.lower, lower=1, overwrite_c=1)
    excess = _add_square(-1.0, solved, lower=1, a=inverse, overwrite_a=1)
    excess[np.diag_indices_from(excess)] /= 2
    return excess
