"""A sum over batches of closed-form functions, times a function of how many come."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from carbjax._errors import InputError
from carbjax._estimators.closed_form_batches import BROUGHT, Batches
from carbjax._estimators.closed_form_cells import Cells
from carbjax._estimators.closed_form_weights import CellWeights, cell_weights
from carbjax._estimators.columns import NUM_COLUMNS, Columns

_DECIMALS = 6  # of tokens, to which deviations are told apart
_ROUNDING = 1e-12  # of the largest value: what is smaller has cancelled
_MOST_ENTRIES = 2**20  # coalitions times look-ups that are held at once
Games = Float[np.ndarray, "games any 5"]
_ONCE = np.array([[1.0, 0.0, 0.0]])


@dataclasses.dataclass(frozen=True)
class Tabulated:
    """Batches with their tables: f(S) is the sum over batches j of f_j(S).

    `f_j(S) = value_j(a, b) + slope_j(a, b) . sum of the deviations of who is in S`.
    """

    cells: Cells
    batch: Int[np.ndarray, " entries"]  # in ascending order
    player: Int[np.ndarray, " entries"]
    prefills: Bool[np.ndarray, " entries"]
    deviation: Float[np.ndarray, "entries 7"]

    @classmethod
    def of(cls, batches: Batches, cells: Cells) -> "Tabulated":
        """Raises `InputError` where a table holds what is not a number."""
        if not (np.isfinite(cells.value).all() and np.isfinite(cells.slope).all()):
            raise InputError(
                "what an iteration emits, or its slope, is not a finite number.",
                hint="Does the carbon intensity cover the hours after the run too? Is the "
                "cost differentiable?",
            )
        deviation = batches.deviation()
        # What costs nothing must not tell batches apart.
        deviation *= (cells.slope != 0).any(axis=(0, 2))
        return cls(cells, batches.batch, batches.player, batches.prefills, deviation)

    @property
    def first_player(self) -> Int[np.ndarray, " batches"]:
        """One participant of each batch."""
        return self.player[np.searchsorted(self.batch, np.arange(len(self.cells.sizes)))]

    def take(self, wanted: Bool[np.ndarray, " batches"]) -> "Tabulated":
        """These batches alone."""
        cells, entry = self.cells, wanted[self.batch]
        cell = wanted[cells.batch]
        kept = Cells(
            cells.num_prefills[wanted],
            cells.num_decodes[wanted],
            cells.value[cell],
            cells.slope[cell],
        )
        number = np.cumsum(wanted) - 1
        return Tabulated(
            kept,
            number[self.batch[entry]],
            self.player[entry],
            self.prefills[entry],
            self.deviation[entry],
        )

    def pieces(self) -> Iterator["Piece"]:
        """Each batch by itself."""
        cells = self.cells
        if not len(cells.sizes):
            return iter(())
        ends = np.searchsorted(self.batch, np.arange(1, len(cells.sizes)))
        split = np.cumsum(cells.sizes)[:-1]
        columns = (
            *(np.split(x, ends) for x in (self.player, self.prefills, self.deviation)),
            *(np.split(x, split) for x in (cells.value, cells.slope)),
        )
        return map(Piece._make, zip(*columns, strict=True))


class Piece(NamedTuple):
    """A batch: its participants and its table."""

    player: Int[np.ndarray, " members"]
    prefills: Bool[np.ndarray, " members"]
    deviation: Float[np.ndarray, "members 7"]
    value: Float[np.ndarray, "cells 5"]
    slope: Float[np.ndarray, "cells 7 5"]

    @property
    def key(self) -> bytes:
        """The same for batches of equal participants."""
        # Adding 0 turns -0 into 0.
        deviation = self.deviation.round(_DECIMALS) + 0.0
        parts = self.player, self.prefills, deviation
        return b"|".join(x.tobytes() for x in parts)


def combine(parts: list[tuple[float, Tabulated]]) -> Tabulated | None:
    """The sum of the parts, each times its number; equal batches become one.

    What cancels is left out; None where nothing is left.
    """
    merged: dict[bytes, Piece] = {}
    scale = max(np.abs(part.cells.value).max(initial=0.0) for _, part in parts)
    for factor, part in parts:
        for piece in part.pieces():
            key, value, slope = piece.key, factor * piece.value, factor * piece.slope
            if key in merged:
                value, slope = value + merged[key].value, slope + merged[key].slope
            merged[key] = piece._replace(value=value, slope=slope)
    left = [x for x in merged.values() if np.abs(x.value).max() > _ROUNDING * scale]
    if not left:
        return None
    player, prefills, deviation, value, slope = (
        np.concatenate(x) for x in zip(*left, strict=True)
    )
    num_prefills = np.array([piece.prefills.sum() for piece in left])
    size = np.array([len(piece.player) for piece in left])
    cells = Cells(num_prefills, size - num_prefills, value, slope)
    batch = np.repeat(np.arange(len(size)), size)
    return Tabulated(cells, batch, player, prefills, deviation)


class CountedSum:
    """Games `h(s) f(S)`: s is the part of a block's players that is in S.

    One game for each row of `powers`, the coefficients of 1, s and s^2. The block holds all
    participants of each batch; without one it is everybody. Where the player `absent`,
    one of the block who is in no batch, comes, the games are 0.
    """

    def __init__(
        self,
        tabulated: Tabulated,
        num_players: int,
        powers: Float[np.ndarray, "games 3"] = _ONCE,
        *,
        block: Bool[np.ndarray, " players"] | None = None,
        absent: int | None = None,
    ):
        self._of, self._num_players = tabulated, num_players
        self._powers, self._absent = powers, absent
        self._block = np.ones(num_players, bool) if block is None else block
        cells, number = tabulated.cells, len(tabulated.cells.sizes)
        # One matrix product turns members into the cells where batches find themselves,
        # another into where the slopes lie by which participants tilt them.
        stride = np.where(tabulated.prefills, cells.num_decodes[tabulated.batch] + 1.0, 1.0)
        self._strides = np.zeros((num_players, number))
        self._strides[tabulated.player, tabulated.batch] = stride
        self._first = cells.first
        deviates = np.zeros((number, len(BROUGHT)), bool)
        np.logical_or.at(deviates, tabulated.batch, tabulated.deviation != 0)
        self._tilt_batch, feature = np.nonzero(deviates)
        self._tilt_first = self._first[self._tilt_batch] + feature * len(cells.value)
        place = np.full(deviates.shape, -1)
        place[deviates] = np.arange(len(self._tilt_batch))
        self._tilting = np.zeros((num_players, len(self._tilt_batch)))
        entry, feature = np.nonzero(tabulated.deviation)
        where = tabulated.player[entry], place[tabulated.batch[entry], feature]
        self._tilting[where] = tabulated.deviation[entry, feature]
        live = np.flatnonzero(np.any(cells.value != 0, axis=0))
        self._tables = {
            k: (cells.value[:, k].copy(), cells.slope[..., k].T.ravel()) for k in live
        }

    @property
    def num_games(self) -> int:
        return len(self._powers)

    @property
    def width(self) -> int:
        """Look-ups for a value."""
        return len(self._first) + len(self._tilt_batch)

    def values(
        self, members: Float[np.ndarray, "coalitions players"]
    ) -> Float[np.ndarray, "games coalitions 5"]:
        """Of each coalition, given as numbers 0 and 1."""
        games = np.zeros((len(self._powers), len(members), NUM_COLUMNS))
        times = self._times(members @ self._block)
        if self._absent is not None:
            times = times * (1 - members[:, self._absent])
        some = np.flatnonzero(times.any(axis=0))
        members, times = members[some], times[:, some]
        found = np.zeros((len(some), NUM_COLUMNS))
        place = np.rint(members @ self._strides).astype(np.intp)
        row = place[:, self._tilt_batch] + self._tilt_first
        cell, tilt = place + self._first, members @ self._tilting
        for k, (value, slope) in self._tables.items():
            # `clip` spares numpy the checks of the bounds; all indices are inside.
            found[:, k] = value.take(cell, mode="clip").sum(axis=1)
            found[:, k] += np.einsum("ct,ct->c", tilt, slope.take(row, mode="clip"))
        games[:, some] = times[:, :, None] * found
        return games

    def shapley(self) -> Float[np.ndarray, "games players 5"]:
        """Of each game, by player."""
        weights = self._weights()
        games = range(len(self._powers))
        return np.stack([self._shares(weights.of_game(game)) for game in games])

    def _shares(self, weights: CellWeights) -> Columns:
        of, cells = self._of, self._of.cells

        def by_batch(weight: np.ndarray, table: np.ndarray) -> np.ndarray:
            weight = weight.reshape(-1, *(1,) * (table.ndim - 1))
            return np.add.reduceat(weight * table, self._first)

        means = (weights.mean_decode, weights.mean_prefill)
        slopes = (weights.deviation_decode, weights.deviation_prefill)
        entry = of.prefills.astype(int), of.batch
        slope = np.stack([by_batch(w, cells.slope) for w in slopes])[entry]
        shares = np.stack([by_batch(w, cells.value) for w in means])[entry]
        shares = shares + np.einsum("ef,efk->ek", of.deviation, slope)
        result = np.zeros((self._num_players, NUM_COLUMNS))
        if weights.outsider.any():
            away = by_batch(weights.outsider, cells.value)
            result[self._block] = away.sum(axis=0)
            shares = shares - away[of.batch]
        if self._absent is not None:
            result[self._absent] = weights.absentee @ cells.value
        np.add.at(result, of.player, shares)
        return result

    def _weights(self) -> CellWeights:
        """Of all cells, by game."""
        cells = self._of.cells
        (a, b), batch = cells.counts, cells.batch
        others = self._block.sum() - cells.num_prefills - cells.num_decodes
        others = others - (self._absent is not None)
        first, second, third = (self._times(a + b + more) for more in range(3))
        rises = np.stack([first, second - first, third - 2 * second + first], axis=1)
        return cell_weights(
            a,
            b,
            cells.num_prefills[batch],
            cells.num_decodes[batch],
            rises=rises,
            outsiders=others[batch],
            someone_absent=self._absent is not None,
        )

    def _times(self, number: Float[np.ndarray, " any"]) -> Float[np.ndarray, "games any"]:
        """h of so many of the block."""
        part = number / self._block.sum()
        return self._powers @ np.stack([part**0, part, part**2])


def values_of(
    sums: list[CountedSum], coalitions: Bool[np.ndarray, "coalitions players"]
) -> Games:
    """The sum of the `sums` of each coalition, by game."""
    members = np.asarray(coalitions, np.float64)
    games = np.zeros((sums[0].num_games, len(members), NUM_COLUMNS))
    for part in sums:
        rows = max(1, _MOST_ENTRIES // part.width)
        for start in range(0, len(members), rows):
            now = slice(start, start + rows)
            games[:, now] += part.values(members[now])
    return games
