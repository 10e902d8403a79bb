"""Arrivals of renewal processes, many at a time, in equilibrium from their start."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import gamma as gamma_function

_MORE = 4.0  # standard deviations of a count that are drawn at once


@dataclasses.dataclass(frozen=True)
class Gaps:
    """Gamma or Weibull times between arrivals, with a mean of 1 / rate."""

    rate: Float[np.ndarray, " processes"]
    shape: Float[np.ndarray, " processes"]
    is_weibull: Bool[np.ndarray, " processes"]

    def draw(
        self, rng: np.random.Generator, which: Int[np.ndarray, " draws"]
    ) -> Float[np.ndarray, " draws"]:
        """A gap of each process named."""
        shape, weibull = self.shape[which], self.is_weibull[which]
        unit = rng.standard_gamma(np.where(weibull, 1.0, shape))
        return self._scaled(unit, which, shape, weibull)

    def first(
        self, rng: np.random.Generator, which: Int[np.ndarray, " draws"]
    ) -> Float[np.ndarray, " draws"]:
        """The wait for the first arrival of a process that runs for ever.

        A uniform part of a gap drawn in proportion to its length: of Gamma(k) that is
        Gamma(k + 1), of a Weibull the root of Gamma(1 + 1/k).
        """
        shape, weibull = self.shape[which], self.is_weibull[which]
        unit = rng.standard_gamma(np.where(weibull, 1 + 1 / shape, shape + 1))
        return rng.random(len(which)) * self._scaled(unit, which, shape, weibull)

    def variation(self) -> Float[np.ndarray, " processes"]:
        """Coefficients of variation of the gaps."""
        with np.errstate(over="ignore"):
            second = gamma_function(1 + 2 / self.shape)
            weibull = second / gamma_function(1 + 1 / self.shape) ** 2 - 1
        square = np.where(self.is_weibull, weibull, 1 / self.shape)
        return np.sqrt(np.clip(np.nan_to_num(square, nan=1e4, posinf=1e4), 0, 1e4))

    def _scaled(self, unit, which, shape, weibull) -> np.ndarray:
        """Gaps from standard gamma variates."""
        mean = np.where(weibull, gamma_function(1 + 1 / shape), shape)
        gaps = np.where(weibull, unit ** (1 / shape), unit)
        return gaps / (mean * self.rate[which])


def arrivals_until(
    rng: np.random.Generator,
    gaps: Gaps,
    next_s: Float[np.ndarray, " processes"],
    end_s: Float[np.ndarray, " processes"],
) -> tuple[Int[np.ndarray, " arrivals"], Float[np.ndarray, " arrivals"]]:
    """Process and time of each arrival before `end_s`; `next_s` moves to the first after.

    Processes are independent; answers are in order of process, then time. `next_s` is
    changed in place.
    """
    processes, times = [], []
    variation = gaps.variation()
    going = np.flatnonzero(next_s < end_s)
    while len(going):
        expected = (end_s[going] - next_s[going]) * gaps.rate[going]
        spread = variation[going] * np.sqrt(expected)
        number = np.ceil(expected + _MORE * spread).astype(np.int64) + 2
        which = np.repeat(going, number)
        after = np.cumsum(number)
        gap = gaps.draw(rng, which)
        # Of each process the arrival that is waiting, then one after each gap but the last.
        steps = np.cumsum(gap)
        before = np.repeat(np.concatenate([[0.0], steps[after[:-1] - 1]]), number)
        reached = next_s[which] + (steps - before)
        arrived = reached - gap
        inside = arrived < end_s[which]
        processes.append(which[inside])
        times.append(arrived[inside])
        last = reached[after - 1]
        beyond = np.where(reached >= end_s[which], reached, np.inf)
        first_beyond = np.minimum.reduceat(beyond, after - number)
        next_s[going] = np.where(np.isfinite(first_beyond), first_beyond, last)
        going = going[next_s[going] < end_s[going]]
    if not processes:
        return np.zeros(0, np.int64), np.zeros(0)
    process, time = np.concatenate(processes), np.concatenate(times)
    order = np.argsort(process, kind="stable")
    return process[order], time[order]
