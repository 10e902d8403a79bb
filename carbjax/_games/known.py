"""Games whose Shapley values are known on paper, to judge estimators by."""

import abc
import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame


class AbstractKnownGame(AbstractGame):
    """A game with its Shapley value in closed form."""

    @abc.abstractmethod
    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        """v of the coalition."""

    @abc.abstractmethod
    def shapley(self) -> Float[np.ndarray, " players"]:
        """The exact Shapley value."""

    @property
    def kinds(self) -> tuple[int, ...]:
        """All different, so that estimators cannot use which players are equal."""
        return tuple(range(self.num_players))

    def components(self, coalition: Bool[Array, " players"]) -> Emissions:
        """The value as operational carbon of decode; these games know no components."""
        value = self.value(coalition)
        zero = jnp.zeros_like(value)
        return Emissions(zero, value, zero, zero, zero)


class AdditiveGame(AbstractKnownGame):
    """Each player is worth the same in any company; its share is that."""

    worth: Float[Array, " players"]

    def __init__(self, worth: ArrayLike):
        self.worth = jnp.asarray(_vector("worth", worth))

    @property
    def num_players(self) -> int:
        return len(self.worth)

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        return jnp.sum(jnp.where(coalition, self.worth, 0.0))

    def shapley(self) -> Float[np.ndarray, " players"]:
        return np.asarray(self.worth)


class UnanimitySum(AbstractKnownGame):
    """v(S) = sum of `worth[t]` over the `teams[t]` that lie in S.

    A team shares what it is worth equally. Every game is such a sum.
    """

    teams: Bool[Array, "teams players"]
    worth: Float[Array, " teams"]

    def __init__(self, teams: ArrayLike, worth: ArrayLike):
        rows, host = np.asarray(teams, bool), _vector("worth", worth)
        if rows.ndim != 2 or len(rows) != len(host) or not rows.any(axis=1).all():
            raise InputError(
                f"`teams` has shape {rows.shape} and `worth` {host.shape}.",
                hint="Give one row of players for each team, at least one of them true.",
            )
        self.teams, self.worth = jnp.asarray(rows), jnp.asarray(host)

    @property
    def num_players(self) -> int:
        return self.teams.shape[1]

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        complete = jnp.all(coalition[None, :] | ~self.teams, axis=1)
        return jnp.sum(jnp.where(complete, self.worth, 0.0))

    def shapley(self) -> Float[np.ndarray, " players"]:
        teams = np.asarray(self.teams, float)
        return teams.T @ (np.asarray(self.worth) / teams.sum(axis=1))


class AirportGame(AbstractKnownGame):
    """v(S) is the largest need in S: one runway serves all.

    Each piece of the runway is shared equally by those who need it: Littlechild and Owen
    (1973).
    """

    need: Float[Array, " players"]

    def __init__(self, need: ArrayLike):
        host = _vector("need", need)
        if not (host >= 0).all():
            raise InputError("`need` has a negative entry.", hint="Give lengths.")
        self.need = jnp.asarray(host)

    @property
    def num_players(self) -> int:
        return len(self.need)

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        return jnp.max(jnp.where(coalition, self.need, 0.0))

    def shapley(self) -> Float[np.ndarray, " players"]:
        need = np.asarray(self.need)
        order = np.argsort(need)
        pieces = np.diff(need[order], prepend=0.0) / np.arange(len(need), 0, -1)
        shares = np.empty(len(need))
        shares[order] = np.cumsum(pieces)
        return shares


class VotingGame(AbstractKnownGame):
    """v(S) is 1 where the weights of S reach the quota, else 0.

    The Shapley-Shubik index, from the number of coalitions of each size and weight.
    """

    weight: Int[Array, " players"]
    quota: int = eqx.field(static=True)

    def __init__(self, weight: ArrayLike, quota: int):
        host = np.asarray(weight)
        if host.ndim != 1 or not np.issubdtype(host.dtype, np.integer) or (host < 0).any():
            raise InputError("`weight` is no vector of whole numbers of at least 0.")
        self.weight, self.quota = jnp.asarray(host), int(quota)

    @property
    def num_players(self) -> int:
        return len(self.weight)

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        reached = jnp.sum(jnp.where(coalition, self.weight, 0)) >= self.quota
        return reached.astype(float)

    def shapley(self) -> Float[np.ndarray, " players"]:
        weights = np.asarray(self.weight).tolist()
        return np.array([self._index(i, weights) for i in range(len(weights))])

    def _index(self, player: int, weights: list[int]) -> float:
        """Chance that the player turns a losing coalition into a winning one."""
        others = weights[:player] + weights[player + 1 :]
        ways = np.zeros((len(others) + 1, sum(others) + 1), object)
        ways[0, 0] = 1
        for weight in others:
            ways[1:, weight:] = ways[1:, weight:] + ways[:-1, : ways.shape[1] - weight]
        decisive = slice(max(self.quota - weights[player], 0), max(self.quota, 0))
        count = ways[:, decisive].sum(axis=1)
        chance = [
            int(c) / math.comb(len(others), s) / len(weights) for s, c in enumerate(count)
        ]
        return float(sum(chance))


class SymmetricGame(AbstractKnownGame):
    """v depends on how many take part alone: `by_size[s]`; all shares are equal."""

    by_size: Float[Array, " sizes"]

    def __init__(self, by_size: ArrayLike):
        host = _vector("by_size", by_size)
        if len(host) < 2:
            raise InputError(
                "`by_size` has one entry.", hint="Give v of 0, 1, ... players."
            )
        self.by_size = jnp.asarray(host)

    @property
    def num_players(self) -> int:
        return len(self.by_size) - 1

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        return self.by_size[jnp.sum(coalition)]

    def shapley(self) -> Float[np.ndarray, " players"]:
        worth = float(self.by_size[-1] - self.by_size[0])
        return np.full(self.num_players, worth / self.num_players)


class ShoesGame(AbstractKnownGame):
    """v(S) is the number of pairs that the left and the right shoes in S make.

    The first `left` players have a left shoe each, the others a right one.
    """

    left: int = eqx.field(static=True)
    right: int = eqx.field(static=True)

    @property
    def num_players(self) -> int:
        return self.left + self.right

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        lefts = jnp.sum(coalition[: self.left])
        return jnp.minimum(lefts, jnp.sum(coalition[self.left :])).astype(float)

    def shapley(self) -> Float[np.ndarray, " players"]:
        of_left = _completing(self.left - 1, self.right)
        of_right = _completing(self.right - 1, self.left)
        return np.array([of_left] * self.left + [of_right] * self.right)


def _completing(same: int, other: int) -> float:
    """Chance of coming after more shoes of the other side than of one's own."""
    size = same + other
    return sum(
        math.comb(same, a) * math.comb(other, b) / math.comb(size, a + b) / (size + 1)
        for a in range(same + 1)
        for b in range(a + 1, other + 1)
    )


def _vector(name: str, values: ArrayLike) -> Float[np.ndarray, " entries"]:
    host = np.asarray(values, np.float64)
    if host.ndim != 1 or not len(host) or not np.isfinite(host).all():
        raise InputError(
            f"`{name}` has shape {host.shape}.", hint="Give a vector of finite numbers."
        )
    return host
