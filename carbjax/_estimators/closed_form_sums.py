"""A sum over batches of closed-form functions, times how many of some players come."""

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


def combine(parts: list[tuple[float, Tabulated]]) -> Tabulated:
    """The sum of the parts, each times its number; equal batches become one."""
    merged: dict[bytes, Piece] = {}
    for factor, part in parts:
        for piece in part.pieces():
            key, value, slope = piece.key, factor * piece.value, factor * piece.slope
            if key in merged:
                value, slope = value + merged[key].value, slope + merged[key].slope
            merged[key] = piece._replace(value=value, slope=slope)
    player, prefills, deviation, value, slope = (
        np.concatenate(x) for x in zip(*merged.values(), strict=True)
    )
    num_prefills = np.array([piece.prefills.sum() for piece in merged.values()])
    size = np.array([len(piece.player) for piece in merged.values()])
    cells = Cells(num_prefills, size - num_prefills, value, slope)
    batch = np.repeat(np.arange(len(size)), size)
    return Tabulated(cells, batch, player, prefills, deviation)


class CountedSum:
    """The game `|S and C| f(S)`, or f(S) where C is None.

    C holds all participants of each batch, or none of them.
    """

    def __init__(
        self,
        tabulated: Tabulated,
        num_players: int,
        counted: Bool[np.ndarray, " players"] | None = None,
    ):
        self._of, self._counted, self._num_players = tabulated, counted, num_players
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
    def width(self) -> int:
        """Look-ups for a value."""
        return len(self._first) + len(self._tilt_batch)

    def values(self, members: Float[np.ndarray, "coalitions players"]) -> Columns:
        """Of each coalition, given as numbers 0 and 1."""
        values = np.zeros((len(members), NUM_COLUMNS))
        number = np.ones(len(members)) if self._counted is None else members @ self._counted
        some = np.flatnonzero(number)
        members, number = members[some], number[some]
        place = np.rint(members @ self._strides).astype(np.intp)
        row = place[:, self._tilt_batch] + self._tilt_first
        cell, tilt = place + self._first, members @ self._tilting
        for k, (value, slope) in self._tables.items():
            # `clip` spares numpy the checks of the bounds; all indices are inside.
            found = value.take(cell, mode="clip").sum(axis=1)
            found += np.einsum("ct,ct->c", tilt, slope.take(row, mode="clip"))
            values[some, k] = number * found
        return values

    def shapley(self) -> Columns:
        """By player."""
        of, cells = self._of, self._of.cells
        own, weights = self._weights()

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
        if self._counted is not None:
            away = by_batch(weights.outsider, cells.value)
            result[self._counted] = away.sum(axis=0)
            shares = shares - (own[:, None] * away)[of.batch]
        np.add.at(result, of.player, shares)
        return result

    def _weights(self) -> tuple[Bool[np.ndarray, " batches"], CellWeights]:
        """Whether C holds the participants of each batch, and the weights of all cells."""
        of, cells = self._of, self._of.cells
        (a, b), batch = cells.counts, cells.batch
        if self._counted is None:
            own, outsiders = np.zeros(len(cells.sizes), bool), np.zeros(len(cells.sizes))
            counted = np.ones(len(a))
        else:
            own = self._counted[of.first_player]
            size = cells.num_prefills + cells.num_decodes
            outsiders = (self._counted.sum() - own * size).astype(float)
            counted = (own[batch] * (a + b)).astype(float)
        weights = cell_weights(
            a,
            b,
            cells.num_prefills[batch],
            cells.num_decodes[batch],
            counted=counted,
            outsiders=outsiders[batch],
        )
        return own, weights
