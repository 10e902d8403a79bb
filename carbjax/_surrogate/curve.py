"""Functions of one count, tabulated: the form in which an engine runs them."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

# Knots lie at u - 1 for u = 2^e (1 + j / 16), so the top bits of the floating point
# number u are the index of its interval: no search is needed.
_OCTAVES = 17
_BITS_OF_INTERVALS = 4
_WINDOW = np.array([-1.0, 1.0, -0.75, -0.25, 0.25, 0.75])  # edges, then samples
_INTERVALS = _OCTAVES << _BITS_OF_INTERVALS

Values = tuple[Float[Array, "*batch"], ...]


class Curve(eqx.Module):
    """C1, monotone, piecewise cubic functions of a count x >= 0, all on the same knots.

    Sixteen intervals an octave of x + 1 up to x = 131,071, and straight lines beyond. A
    sum of curves is a curve, exactly. Coefficients are of powers of the distance from the
    start of the interval, one set a component (such as latency in s and energy in J).
    """

    coefficients: Float[Array, "components 4 intervals"]

    @staticmethod
    def through(function: Callable[[Float[np.ndarray, " points"]], tuple]) -> "Curve":
        """The curve of non-decreasing functions, averaged over a window at each knot.

        Averages, because kernels step where a tile of tokens begins: a sample would lie
        before the step, or after it, at every knot alike. Slopes are
        limited to three times the neighbouring secants, which keeps every piece monotone
        where the values are (Fritsch and Carlson, 1980).
        """
        knots, width = _knots()
        half = 0.5 * np.minimum(np.append(width, width[-1]), np.insert(width, 0, 0.0))
        points = knots + _WINDOW[:, None] * half
        components = [
            _cubics(np.asarray(values, dtype=np.float64).reshape(points.shape), points)
            for values in function(points.reshape(-1))
        ]
        return Curve(jnp.asarray(np.stack(components), dtype=float))

    def __call__(self, count: Float[Array, "*batch"]) -> Values:
        """The value of each component at `count`, elementwise."""
        interval = _interval(count)
        start = jnp.asarray(_knots()[0][:-1], count.dtype)[interval]
        distance = count - start
        return tuple(_at(cubics, interval, distance) for cubics in self.coefficients)

    def __add__(self, other: "Curve") -> "Curve":
        return Curve(self.coefficients + other.coefficients)

    def scale(self, factor: Float[Array, ""] | float) -> "Curve":
        """Every component times `factor`."""
        return Curve(factor * self.coefficients)


def _knots() -> tuple[Float[np.ndarray, " knots"], Float[np.ndarray, " intervals"]]:
    """Knots, one more than intervals, and the intervals' widths."""
    quarter = 1 << _BITS_OF_INTERVALS
    index = np.arange(_INTERVALS + 1)
    knots = 2.0 ** (index // quarter) * (1 + index % quarter / quarter) - 1
    return knots, np.diff(knots)


def _interval(count: Float[Array, "*batch"]) -> Int[Array, "*batch"]:
    shifted = jax.lax.stop_gradient(count) + 1
    kind = jnp.finfo(shifted.dtype)
    bits = jax.lax.bitcast_convert_type(shifted, {32: jnp.int32, 64: jnp.int64}[kind.bits])
    bias = (kind.maxexp - 1) << _BITS_OF_INTERVALS
    index = (bits >> (kind.nmant - _BITS_OF_INTERVALS)) - bias
    return jnp.clip(index, 0, _INTERVALS - 1).astype(jnp.int32)


def _at(
    cubics: Float[Array, "4 intervals"],
    interval: Int[Array, "*batch"],
    distance: Float[Array, "*batch"],
) -> Float[Array, "*batch"]:
    # A gather a coefficient runs ten times as fast as one of rows of four.
    a, b, c, d = (row.astype(distance.dtype)[interval] for row in cubics)
    return a + distance * (b + distance * (c + distance * d))


def _cubics(
    values: Float[np.ndarray, "6 knots"], points: Float[np.ndarray, "6 knots"]
) -> Float[np.ndarray, "4 intervals"]:
    """Coefficients of Hermite pieces, from values at the edges of windows and within."""
    _, width = _knots()
    at = values[2:].mean(axis=0)
    secant = np.diff(at) / width
    window = points[1] - points[0]
    slope = (values[1] - values[0]) / np.where(window > 0, window, 1.0)
    slope[0] = secant[0]  # the window of the first knot, 0, is empty
    slope[-2:] = secant[-1]  # the last piece goes on for ever, so it is a line
    neighbours = np.append(secant, secant[-1]), np.insert(secant, 0, secant[0])
    slope = np.clip(slope, 0.0, np.maximum(3 * np.minimum(*neighbours), 0.0))
    left, right = slope[:-1], slope[1:]
    square = (3 * secant - 2 * left - right) / width
    cube = (left + right - 2 * secant) / width**2
    return np.stack([at[:-1], left, square, cube])
