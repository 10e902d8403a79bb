"""The smallest budget at which enough runs succeed, and how sure that is."""

from typing import NamedTuple

import numpy as np

from carbjax._criteria.binomial import clopper_pearson
from carbjax._criteria.bootstrap import Interval
from carbjax._criteria.trials import Trials

_BATCH = 10  # runs between two looks whether a budget's case is clear
_STRIDE = 2  # budgets of the grid from one to the next while searching upwards


class Tried(NamedTuple):
    """Runs at one budget, and those in which every player was near enough."""

    budget: int
    runs: int
    successes: int

    @property
    def chance(self) -> float:
        return self.successes / self.runs


class Search:
    """Bisection over a grid of budgets for the least at which runs succeed.

    It takes chances to grow with the budget. A budget that has failed or succeeded
    beyond doubt is not tried further: such a chance comes of fewer runs. At the budget
    `exact` nothing is left to chance, and one run stands for all.
    """

    def __init__(
        self,
        trials: Trials,
        grid: list[int],
        *,
        eps_g: float,
        chance: float,
        repeats: int,
        level: float,
        exact: int | None = None,
    ):
        self._trials, self._grid = trials, grid
        self.eps_g, self._chance = eps_g, chance
        self._repeats, self.level = repeats, level
        self._exact = exact
        self._tried: dict[int, Tried] = {}

    def observed(self) -> int | None:
        """The least budget at which the part of successes is the wanted chance."""
        place = self._observed_place()
        return self._grid[place] if place < len(self._grid) else None

    def lower(self) -> int | None:
        """The least budget of which it cannot be ruled out that it is enough.

        Down from `observed`, step by step; None where even the most is ruled out.
        """
        place = self._observed_place()
        while place > 0 and self._interval(self._try(place - 1)).high >= self._chance:
            place -= 1
        return self._grid[place] if place < len(self._grid) else None

    def upper(self) -> int | None:
        """The least budget that is enough beyond doubt, up from `observed`."""
        for place in range(self._observed_place(), len(self._grid)):
            if self._interval(self._try(place)).low >= self._chance:
                return self._grid[place]
        return None

    @property
    def tried(self) -> tuple[Tried, ...]:
        return tuple(self._tried[b] for b in sorted(self._tried))

    def _observed_place(self) -> int:
        """Where in the grid; its length where the largest budget does not do either.

        Upwards in strides first, for a run costs more the larger its budget is.
        """
        low, last = 0, len(self._grid) - 1
        high = min(_STRIDE, last)
        while not self._does(high):
            low = high + 1
            if high == last:
                return low
            high = min(high + _STRIDE, last)
        while low < high:
            middle = (low + high) // 2
            if self._does(middle):
                high = middle
            else:
                low = middle + 1
        return low

    def _does(self, place: int) -> bool:
        return self._try(place).chance >= self._chance

    def _try(self, place: int) -> Tried:
        budget = self._grid[place]
        if budget not in self._tried:
            self._tried[budget] = self._run(budget)
        return self._tried[budget]

    def _run(self, budget: int) -> Tried:
        if budget == self._exact:
            near = bool(self._trials.errors(budget, 1)[0] <= self.eps_g)
            return Tried(budget, self._repeats, self._repeats * near)
        tried = Tried(budget, 0, 0)
        while tried.runs < self._repeats:
            runs = min(tried.runs + _BATCH, self._repeats)
            near = self._trials.errors(budget, runs) <= self.eps_g
            tried = Tried(budget, runs, int(near.sum()))
            low, high, _ = self._interval(tried)
            if high < self._chance or low >= self._chance:
                break
        return tried

    def _interval(self, tried: Tried) -> Interval:
        return clopper_pearson(tried.successes, tried.runs, self.level)


def budget_grid(least: int, most: int, ratio: float) -> list[int]:
    """Even budgets from `least` to `most`, each about `ratio` times the one before."""
    steps = int(np.ceil(np.log(most / least) / np.log(ratio))) if most > least else 0
    rough = least * ratio ** np.arange(steps + 1)
    even = 2 * np.round(rough / 2).astype(int)
    return sorted({least, *(int(b) for b in even if least <= b < most), most})
