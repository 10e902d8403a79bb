"""Who is responsible for which grams."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Float

from carbjax._carbon.emissions import COMPONENTS, Emissions


@dataclasses.dataclass(frozen=True)
class Attribution:
    """Shares of the players, what nobody was charged for, and what was to be shared.

    - `emissions`: attributed to each player, by component, `" players"`.
    - `remainder`: unattributed, by component.
    - `whole`: v of the grand coalition, by component.
    - `stderr`: standard error of the shares in gCO2e where the method samples, or None.
    - `flags`: what a reader of the result must know.

    `sum(shares) + unattributed = total`; `residual` is by how much it is not. Nothing is
    renormalised to make it so.
    """

    method: str
    emissions: Emissions
    remainder: Emissions
    whole: Emissions
    stderr: Float[np.ndarray, " players"] | None = None
    flags: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("emissions", "remainder", "whole"):
            host = jax.tree.map(np.asarray, getattr(self, name))
            object.__setattr__(self, name, host)

    def __repr__(self) -> str:
        """The grams, as a notebook shows them."""
        shares = np.array2string(self.shares, precision=4, threshold=10)
        flags = f", flags={list(self.flags)}" if self.flags else ""
        return (
            f"Attribution({self.method!r}, total={self.total:.4g} gCO2e, "
            f"unattributed={self.unattributed:.4g}, shares={shares}{flags})"
        )

    @property
    def shares(self) -> Float[np.ndarray, " players"]:
        """gCO2e that each player is responsible for."""
        return np.asarray(self.emissions.total)

    @property
    def components(self) -> dict[str, Float[np.ndarray, " players"]]:
        """The shares by component, gCO2e."""
        return {name: getattr(self.emissions, name) for name in COMPONENTS}

    @property
    def energy_j(self) -> Float[np.ndarray, " players"]:
        """Electricity of the site, in J, that each player is responsible for."""
        return np.asarray(self.emissions.energy_j)

    @property
    def unattributed(self) -> float:
        """gCO2e that nobody was charged for."""
        return float(self.remainder.total)

    @property
    def unattributed_components(self) -> dict[str, float]:
        """The unattributed carbon by component, gCO2e."""
        return {name: float(getattr(self.remainder, name)) for name in COMPONENTS}

    @property
    def unattributed_energy_j(self) -> float:
        return float(self.remainder.energy_j)

    @property
    def total(self) -> float:
        """gCO2e of serving everybody."""
        return float(self.whole.total)

    @property
    def residual(self) -> float:
        """gCO2e by which the shares and the unattributed part miss the total."""
        return self.total - float(np.sum(self.shares)) - self.unattributed


def sum_players(emissions: Emissions) -> Emissions:
    """All players' emissions together, by component."""
    return jax.tree.map(lambda x: np.sum(np.asarray(x)), emissions)


def by_player(emissions: Emissions, player: np.ndarray, num_players: int) -> Emissions:
    """Requests' emissions summed over each player's requests."""
    return jax.tree.map(
        lambda x: np.bincount(player, weights=np.asarray(x), minlength=num_players),
        emissions,
    )
