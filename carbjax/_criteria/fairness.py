"""How far shares are from the Shapley value."""

import dataclasses

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from carbjax._attribution.attribution import Attribution
from carbjax._criteria.ranking import kendall_tau, top_overlap
from carbjax._errors import InputError
from carbjax._estimators.estimate import Estimate

Shares = ArrayLike | Attribution | Estimate
"""gCO2e of each player, `" players"`, or what holds them with a standard error."""

_MEAN_ABSOLUTE = np.sqrt(2 / np.pi)  # of a normal number of standard deviation 1


@dataclasses.dataclass(frozen=True)
class ShapleyDistance:
    """Differences of shares from the truth; `float()` of it is the relative L1 distance.

    - `shares_g`, `truth_g`: gCO2e, `" players"`.
    - `kendall_tau`: of who pays more than whom, tau-b, -1 to 1; NaN where all pay alike.
    - `top_overlap`: the part of the quarter that should pay most which does.
    - `noise_g`: the L1 distance that standard errors alone would make, 0 where shares
      and truth are exact. A distance of this size says nothing.
    """

    shares_g: Float[np.ndarray, " players"]
    truth_g: Float[np.ndarray, " players"]
    kendall_tau: float
    top_overlap: float
    noise_g: float

    @property
    def error_g(self) -> Float[np.ndarray, " players"]:
        """Share less truth of each player, gCO2e."""
        return self.shares_g - self.truth_g

    @property
    def relative_error(self) -> Float[np.ndarray, " players"]:
        """`error_g` over the player's true share; NaN where that is 0."""
        return _ratio(self.error_g, np.abs(self.truth_g))

    @property
    def absolute_g(self) -> float:
        """L1 distance, gCO2e."""
        return float(np.abs(self.error_g).sum())

    @property
    def relative(self) -> float:
        """`sum |shares - truth| / sum |truth|`; NaN where the truth is all 0."""
        return self.absolute_g / self._whole if self._whole > 0 else float("nan")

    @property
    def max_g(self) -> float:
        """The largest difference of a player, gCO2e."""
        return float(np.abs(self.error_g).max())

    @property
    def max_relative(self) -> float:
        """`max_g` over the mean true share; NaN where the truth is all 0."""
        mean = self._whole / len(self.truth_g)
        return self.max_g / mean if mean > 0 else float("nan")

    @property
    def noise(self) -> float:
        """`noise_g` over the sum of the truth."""
        return self.noise_g / self._whole if self._whole > 0 else float("nan")

    @property
    def _whole(self) -> float:
        return float(np.abs(self.truth_g).sum())

    def __float__(self) -> float:
        return self.relative


def shapley_distance(shares: Shares, truth: Shares) -> ShapleyDistance:
    """How far `shares` are from the `truth`, the Shapley value, in grams and relatively.

    Either is a vector of gCO2e, `" players"`, an `Attribution` or an `Estimate`; where
    these have standard errors, `noise_g` says what distance they alone would make.

    Raises `InputError` where the two have not the same number of players, at least one,
    or where a number is not finite.
    """
    given, given_error = _numbers("shares", shares)
    true, true_error = _numbers("truth", truth)
    if given.shape != true.shape:
        raise InputError(
            f"`shares` are of {len(given)} players, `truth` of {len(true)}.",
            hint="Give both for the same players, in the same order.",
        )
    noise = _MEAN_ABSOLUTE * np.sqrt(given_error**2 + true_error**2)
    return ShapleyDistance(
        given,
        true,
        kendall_tau(given, true),
        top_overlap(given, true),
        float(noise.sum()),
    )


def _numbers(name: str, given: Shares) -> tuple[np.ndarray, np.ndarray]:
    """Shares and their standard errors, 0 where none are known."""
    if isinstance(given, Attribution | Estimate):
        shares, stderr = np.asarray(given.shares, np.float64), given.stderr
    else:
        shares, stderr = np.asarray(given, np.float64), None
    if shares.ndim != 1 or not len(shares):
        raise InputError(
            f"`{name}` has shape {shares.shape}.", hint="Give gCO2e, one entry a player."
        )
    bad = np.flatnonzero(~np.isfinite(shares))
    if len(bad):
        raise InputError(f"`{name}[{bad[0]}]` is {shares[bad[0]]}.")
    zero = np.zeros_like(shares)
    return shares, zero if stderr is None else np.asarray(stderr, np.float64)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)
