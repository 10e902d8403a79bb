"""The values of a game, each coalition paid for once."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._estimators.columns import NUM_COLUMNS, Columns, to_columns
from carbjax._games.base import AbstractGame
from carbjax._games.padding import widen

_MOST_ENTRIES = 2**20  # coalitions times players that are evaluated at once
_LARGEST_CHUNK = 1024
_SMALLEST_CHUNK = 16
_NAMED = 8  # players that an error lists


class Oracle:
    """v by component of whole arrays of coalitions; counts the distinct ones.

    Coalitions that differ only by the exchange of players of one kind have one value and
    count once. Everybody and nobody are always known, and count as two.
    """

    def __init__(self, game: AbstractGame, budget: int):
        self.game = game
        self.num_players = game.num_players
        self._wide = game.padded()
        self._kinds = _members_of_kinds(game.kinds)
        self._chunk = _chunk_size(self.num_players, budget)
        self._known: dict[bytes, Columns] = {}

    @property
    def num_evaluations(self) -> int:
        """Distinct coalitions that were evaluated."""
        return len(self._known)

    @property
    def nobody(self) -> Columns:
        return self.values(np.zeros((1, self.num_players), bool))[0]

    @property
    def everybody(self) -> Columns:
        return self.values(np.ones((1, self.num_players), bool))[0]

    def values(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Columns:
        """v by component, `"coalitions 5"`.

        Raises `InputError` naming the coalition where v is not finite.
        """
        if not self._known:
            extremes = np.repeat([[False], [True]], self.num_players, axis=1)
            self._learn(np.concatenate([extremes, coalitions]))
        else:
            self._learn(coalitions)
        known = [self._known[name] for name in _names(self._standard(coalitions))]
        return np.array(known).reshape(len(coalitions), NUM_COLUMNS)

    def knows(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> bool:
        """Whether all these values have been taken."""
        return all(name in self._known for name in _names(self._standard(coalitions)))

    def _learn(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> None:
        standard = self._standard(coalitions)
        unknown = {
            name: row
            for row, name in enumerate(_names(standard))
            if name not in self._known
        }
        rows = standard[list(unknown.values())]
        # Chunks advance in lockstep: coalitions of one size take about as many steps.
        order = np.argsort(rows.sum(axis=1), kind="stable")
        values = np.empty((len(rows), NUM_COLUMNS))
        for start in range(0, len(rows), self._chunk):
            part = order[start : start + self._chunk]
            values[part] = self._evaluate(rows[part])
        self._known.update(zip(unknown, values, strict=True))

    def _evaluate(self, coalitions: Bool[np.ndarray, "chunk players"]) -> Columns:
        seats = self._wide.num_players
        filled = np.zeros((self._chunk, seats), bool)
        filled[: len(coalitions)] = widen(coalitions, seats)
        found = to_columns(_components(self._wide, jnp.asarray(filled)))
        values = found[: len(coalitions)]
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise _not_finite(coalitions[bad[0]], values[bad[0]])
        return values

    def _standard(
        self, coalitions: Bool[np.ndarray, "coalitions players"]
    ) -> Bool[np.ndarray, "coalitions players"]:
        """As many of each kind, the first ones."""
        standard = np.array(coalitions, bool)
        for members in self._kinds:
            count = standard[:, members].sum(axis=1)
            standard[:, members] = np.arange(len(members)) < count[:, None]
        return standard


def _members_of_kinds(kinds: tuple[int, ...]) -> list[np.ndarray]:
    """The players of each kind that has more than one."""
    labels = np.asarray(kinds)
    members = [np.flatnonzero(labels == kind) for kind in np.unique(labels)]
    return [m for m in members if len(m) > 1]


def _chunk_size(num_players: int, budget: int) -> int:
    """One size for all chunks, so that one program is compiled."""
    needed = 2 ** (max(budget, 1) - 1).bit_length()
    most = max(1, min(_LARGEST_CHUNK, _MOST_ENTRIES // max(num_players, 1)))
    return min(max(needed, _SMALLEST_CHUNK), most)


def _names(coalitions: Bool[np.ndarray, "coalitions players"]) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(coalitions, axis=1)]


def _not_finite(coalition: Bool[np.ndarray, " players"], values: Columns) -> InputError:
    players = np.flatnonzero(coalition)
    listed = ", ".join(map(str, players[:_NAMED])) or "nobody"
    more = f" and {len(players) - _NAMED} more" if len(players) > _NAMED else ""
    return InputError(
        f"v of the coalition of players {listed}{more} is not finite: {values.tolist()}.",
        hint="Does the carbon intensity cover the hours after the run too? A smaller "
        "coalition can end later than everybody together.",
    )


@eqx.filter_jit
def _components(
    game: AbstractGame, coalitions: Bool[Array, "coalitions players"]
) -> Emissions:
    return jax.vmap(game.components)(coalitions)
