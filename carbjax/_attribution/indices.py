"""Indices of games as weights of v(S): a player's, or a pair's."""

import abc
import math
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from carbjax._games.lattice import AnyArray, Lattice


class AbstractIndex(eqx.Module):
    """A linear index: `sum over S of weight(S) v(S)`.

    Arrays are of jax, or of numpy where index and lattice are (`on_host`).
    """

    @abc.abstractmethod
    def weights(
        self, lattice: Lattice, counts: Int[AnyArray, "chunk kinds"]
    ) -> Float[AnyArray, "chunk outputs"]:
        """Factors of v(S), summed over the coalitions that a row of counts stands for."""

    @abc.abstractmethod
    def of_players(
        self, lattice: Lattice, outputs: Float[np.ndarray, " outputs"]
    ) -> Float[np.ndarray, "..."]:
        """The outputs, which are for kinds, for players: `" players"` or squared."""

    def on_host(self) -> "AbstractIndex":
        """The same of numpy arrays."""
        return jax.tree.map(np.asarray, self)

    def padded(self, num_players: int) -> "AbstractIndex":
        """The same with room for the sizes of coalitions of so many players."""

        def fill(by_size: Array) -> Array:
            host = np.asarray(by_size)
            extra = num_players + 1 - host.shape[-1]
            wide = np.pad(host, [(0, 0)] * (host.ndim - 1) + [(0, extra)])
            return jax.device_put(wide)

        return jax.tree.map(fill, self)


class Semivalue(AbstractIndex):
    """`phi_i = sum over S without i of p(s) (v(S with i) - v(S))`."""

    weight_in: Float[Array, " sizes"]  # of v(S) for a member, by the size of S
    weight_out: Float[Array, " sizes"]  # of v(S) for an outsider

    def __init__(self, chances: list[float]):
        """`chances[s]` is p(s), s = 0 to n - 1."""
        # `jnp.asarray` compiles for each length.
        self.weight_in = jax.device_put(np.array([0.0, *chances]))
        self.weight_out = jax.device_put(np.array([*chances, 0.0]))

    def weights(
        self, lattice: Lattice, counts: Int[AnyArray, "chunk kinds"]
    ) -> Float[AnyArray, "chunk kinds"]:
        size = counts.sum(axis=1)
        inside = lattice.part_with(counts)
        joined = inside * self.weight_in[size][:, None]
        absent = (1 - inside) * self.weight_out[size][:, None]
        return lattice.number_of(counts)[:, None] * (joined - absent)

    def of_players(
        self, lattice: Lattice, outputs: Float[np.ndarray, " kinds"]
    ) -> Float[np.ndarray, " players"]:
        return outputs[np.asarray(lattice.kind)]


class PairIndex(AbstractIndex):
    """`I_ij = sum over S without i, j of p(s) (v(S i j) - v(S i) - v(S j) + v(S))`.

    With the index of single players on the diagonal. Outputs are those of single
    players, then those of pairs of kinds; of a kind with itself, of two of its members.
    """

    alone: Semivalue
    by_size: Float[Array, "3 sizes"]  # p(s - 2), p(s - 1), p(s): both, one, none inside

    def __init__(self, alone: Semivalue, chances: list[float]):
        """`chances[s]` is p(s), s = 0 to n - 2."""
        self.alone = alone
        rows = [[0.0] * k + chances + [0.0] * (2 - k) for k in (2, 1, 0)]
        self.by_size = jax.device_put(np.array(rows))

    def weights(
        self, lattice: Lattice, counts: Int[AnyArray, "chunk kinds"]
    ) -> Float[AnyArray, "chunk outputs"]:
        absent = lattice.members[None, :] - counts
        both, none = _together(lattice, counts), _together(lattice, absent)
        factors = self.by_size[:, counts.sum(axis=1), None, None]
        of_pairs = factors[0] * both - factors[1] * (1 - both - none) + factors[2] * none
        of_pairs = lattice.number_of(counts)[:, None, None] * of_pairs
        single = self.alone.weights(lattice, counts)
        parts = [single, of_pairs.reshape(len(counts), -1)]
        if isinstance(single, np.ndarray):
            return np.concatenate(parts, axis=1)
        return jnp.concatenate(parts, axis=1)

    def of_players(
        self, lattice: Lattice, outputs: Float[np.ndarray, " outputs"]
    ) -> Float[np.ndarray, "players players"]:
        kind, kinds = np.asarray(lattice.kind), len(lattice.members)
        square = outputs[kinds:].reshape(kinds, kinds)[kind][:, kind]
        np.fill_diagonal(square, outputs[:kinds][kind])
        return square


def shapley_chances(num_players: int, together: int = 1) -> list[float]:
    """p(s) of the Shapley value, or of the interaction of `together` players.

    `s! (n - s - together)! / (n - together + 1)!`: that exactly these s others come
    before, where the `together` come as one.
    """
    others = num_players - together
    return [
        float(Fraction(1, (others + 1) * math.comb(others, s))) for s in range(others + 1)
    ]


def banzhaf_chances(num_players: int) -> list[float]:
    """p(s) of the Banzhaf value: all coalitions of the others are equally likely."""
    return [0.5 ** (num_players - 1)] * num_players


def shapley_index(num_players: int) -> Semivalue:
    """The Shapley value (1953)."""
    return Semivalue(shapley_chances(num_players))


def banzhaf_index(num_players: int) -> Semivalue:
    """The Banzhaf value (1965)."""
    return Semivalue(banzhaf_chances(num_players))


def interaction_index(num_players: int) -> PairIndex:
    """The Shapley interaction index of Grabisch and Roubens (1999)."""
    return PairIndex(shapley_index(num_players), shapley_chances(num_players, together=2))


def _together(
    lattice: Lattice, counts: Int[AnyArray, "chunk kinds"]
) -> Float[AnyArray, "chunk kinds kinds"]:
    """Chance that of two kinds a given member each is among those counted.

    Of a kind with itself: two given members.
    """
    part = lattice.part_with(counts)
    real = part.dtype
    several = (lattice.members > 1).astype(lattice.members.dtype)
    others = (lattice.members - several).clip(min=1).astype(real)
    second = (counts.astype(real) - 1) / others[None, :]
    same = np.eye(len(lattice.members), dtype=real)[None]
    return part[:, :, None] * (part[:, None, :] * (1 - same) + second[:, :, None] * same)
