"""Fits of operators that depend on one count: splines around a roofline."""

import dataclasses as dc
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Bool, Float

from carbjax._errors import ProfileError
from carbjax._fitting.least_squares import least_squares
from carbjax._surrogate.token_spline import TokenSpline, slope_integrals

_SPACING = 0.25  # log2: four knots an octave
_FEWEST_SIZES = 4
_NOISE = 0.03  # relative error of a row
_HUBER = 0.05
_SLOPE_SD = 0.3  # of a slope around that of the roofline
_STEP_SD = 0.5  # of the change from knot to knot of that deviation
_END_SD = 0.05  # of a slope beyond the rows, on which extrapolation stands
_BEYOND = 4.0  # log2
_ROUNDS = 20
_BELOW = 20.0
_TO_SD = 1.4826  # from a median deviation to that of a normal distribution
_LEAST_SPREAD = 0.1

Rows = Bool[np.ndarray, " rows"]
Values = Float[np.ndarray, " rows"]
Prior = Callable[[Values], Values]


@dc.dataclass(frozen=True)
class FittedSpline:
    """A spline, and the standard deviation of the log of its latency at its knots."""

    spline: TokenSpline
    log_sd: Float[np.ndarray, " knots"]


def fit_token_spline(
    count: Values,
    latency_s: Values,
    train: Rows,
    *,
    prior: Prior | None = None,
    up_to: float | None = None,
) -> TokenSpline:
    """The spline of latency over `count`; see `fit_token_spline_with_errors`."""
    return fit_token_spline_with_errors(
        count, latency_s, train, prior=prior, up_to=up_to
    ).spline


def fit_token_spline_with_errors(
    count: Values,
    latency_s: Values,
    train: Rows,
    *,
    prior: Prior | None = None,
    up_to: float | None = None,
) -> FittedSpline:
    """The spline and its uncertainty from the rows `train`, by robust least squares.

    Its slopes, in logarithms, deviate from those of `prior` (latency at a count; by
    default the roofline `base + slope x + sqrt(floor^2 + (bend x)^2)` of the same rows)
    as far as the rows ask for it: few give the prior, many the spline. Knots reach to
    16 times the largest count or to `up_to`; further on latency grows in proportion.
    Raises `ProfileError` with fewer than four sizes.
    """
    x, measured = count[train], np.log(latency_s[train])
    if len(np.unique(x)) < _FEWEST_SIZES:
        raise ProfileError(
            f"{len(np.unique(x))} sizes are too few for a curve, which needs "
            f"{_FEWEST_SIZES}.",
            hint="Measure more sizes, from the smallest to the largest that is served.",
        )
    log2_x = np.log2(x)
    first = float(np.floor(log2_x.min()))
    top = log2_x.max() + _BEYOND if up_to is None else max(log2_x.max(), np.log2(up_to))
    num_knots = int(np.ceil((top - first) / _SPACING)) + 1
    num_seen = int((log2_x.max() - first) / _SPACING)
    latency = _roofline(x, measured) if prior is None else prior
    design, beyond = slope_integrals(log2_x, first, _SPACING, num_knots)
    usual = _log_slopes(latency, 2.0 ** (first + _SPACING * np.arange(num_knots)))
    return _regularised(design, measured - beyond, usual, first, num_seen)


def _roofline(x: Values, measured: Values) -> Prior:
    """The roofline of the rows."""
    least, rate = measured.min(), (measured - np.log(x)).min()

    def latency(p: Array, x: Array) -> Array:
        base, slope, floor, bend = jnp.exp(p)
        return base + slope * x + jnp.sqrt(floor**2 + (bend * x) ** 2)

    start = np.array([least - 0.7, rate - 2.0, least - 0.7, rate])
    # A narrow prior: along valleys of four alike parameters a wide one does not converge.
    found = least_squares(
        lambda p: jnp.log(latency(p, jnp.asarray(x))) - measured, start, prior_scale=1.0
    )
    parameters = jnp.asarray(found.parameters)
    return lambda count: np.asarray(latency(parameters, jnp.asarray(count)))


def _log_slopes(latency: Prior, at: Values) -> Float[np.ndarray, " knots"]:
    """`d log(latency) / d log(x)`, averaged over the knot spacing around each x."""
    half = 2.0 ** (0.5 * _SPACING)
    rise = np.log(latency(at * half)) - np.log(latency(at / half))
    return np.asarray(rise) / (_SPACING * np.log(2.0))


def _regularised(
    design: Float[np.ndarray, "rows knots"],
    target: Values,
    usual: Float[np.ndarray, " knots"],
    first: float,
    num_seen: int,
) -> FittedSpline:
    """Non-negative slopes by iteratively reweighted least squares."""
    level = float(target.min()) - _BELOW  # so that the start, too, is above 0
    columns = np.column_stack([np.ones(len(target)), design])
    penalty, wanted = _penalty(usual, num_seen)
    weight = np.ones(len(target))
    for _ in range(_ROUNDS):
        scale = np.sqrt(weight) / _NOISE
        stacked = np.vstack([scale[:, None] * columns, penalty])
        goal = np.concatenate([scale * (target - level), wanted])
        found, _ = scipy.optimize.nnls(stacked, goal)
        residual = np.abs(columns @ found + level - target)
        weight = _HUBER / np.maximum(residual, _HUBER)
    spline = TokenSpline(first, _SPACING, float(found[0] + level), found[1:])
    spread = max(_TO_SD * float(np.median(residual)) / _NOISE, _LEAST_SPREAD)
    covariance = spread**2 * np.linalg.inv(stacked.T @ stacked)
    return FittedSpline(spline, _knot_deviations(covariance, first, len(usual)))


def _knot_deviations(covariance, first: float, size: int) -> Float[np.ndarray, " knots"]:
    at = first + _SPACING * np.arange(size)
    integrals = slope_integrals(at, first, _SPACING, size)[0]
    knots = np.column_stack([np.ones(size), integrals])
    return np.sqrt(np.einsum("ij,jk,ik->i", knots, covariance, knots))


def _penalty(
    usual: Float[np.ndarray, " knots"], num_seen: int
) -> tuple[Float[np.ndarray, "terms parameters"], Float[np.ndarray, " terms"]]:
    """Rows and goals that hold slopes near the usual ones, evenly from knot to knot.

    Past the first `num_seen` knots, where no row speaks, they are held tightly.
    """
    size = len(usual)
    deviation = np.where(np.arange(size) < num_seen, _SLOPE_SD, _END_SD)
    near = np.eye(size) / deviation[:, None]
    steps = np.diff(np.eye(size), axis=0) / _STEP_SD
    rows = np.vstack([near, steps])
    return np.column_stack([np.zeros(len(rows)), rows]), rows @ usual
