"""Who else gains or loses when one user shortens a request."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from carbjax._attribution.methods import Method
from carbjax._criteria.guard import name_of
from carbjax._criteria.in_window import attribute_variants
from carbjax._criteria.incentives import (
    PARTS,
    Requests,
    chosen_requests,
    cut_rows,
    require_base,
    require_factor,
)
from carbjax._errors import InputError
from carbjax._serving.system import System
from carbjax._workload import Workload


@dataclasses.dataclass(frozen=True)
class Externality:
    """Changes of everybody's share as one request after the other is cut, gCO2e.

    - `change_g[k, i]`: of player i's share when request `requests[k]` is cut; below 0
      where the player gains.
    - `unattributed_g`, `total_g`: changes of what nobody pays, and of the whole.

    `change_g.sum(1) + unattributed_g = total_g` up to the method's own residual.
    """

    method: str
    what: str
    factor: float
    requests: Int[np.ndarray, " asked"]
    player: Int[np.ndarray, " asked"]  # who sent the request
    change_g: Float[np.ndarray, "asked players"]
    unattributed_g: Float[np.ndarray, " asked"]
    total_g: Float[np.ndarray, " asked"]
    flags: tuple[str, ...] = ()

    @property
    def own_g(self) -> Float[np.ndarray, " asked"]:
        """Change of the share of the player whose request is cut."""
        return self.change_g[np.arange(len(self.player)), self.player]

    @property
    def others_g(self) -> Float[np.ndarray, " asked"]:
        """Change of all other players' shares together."""
        return self.change_g.sum(1) - self.own_g

    @property
    def residual_g(self) -> Float[np.ndarray, " asked"]:
        """By how much the rows miss the change of the total."""
        return self.total_g - self.change_g.sum(1) - self.unattributed_g


def externality(
    workload: Workload,
    system: System,
    method: str | Method = "streaming",
    *,
    what: str = "decode",
    factor: float = 0.5,
    requests: Requests | None = None,
    idle: str = "unattributed",
    key: PRNGKeyArray | None = None,
) -> Externality:
    """What cutting one request's prompt or answer does to every player's share.

    `factor` of its tokens are kept, rounded down. Other requests and the window stay, as
    in `carbjax.reduction_reward`. Raises `InputError`.
    """
    if what not in PARTS:
        raise InputError(f"`what` is {what!r}.", hint="Give 'prompt' or 'decode'.")
    require_factor(factor)
    asked = chosen_requests(workload, requests)
    prefill, decode = cut_rows(workload, asked, factor, what)
    found = attribute_variants(
        workload,
        system,
        method,
        np.concatenate([workload.num_prefill_tokens[None], prefill]),
        np.concatenate([workload.num_decode_tokens[None], decode]),
        idle=idle,
        key=key,
    )
    require_base(found, method)
    refused = dict.fromkeys(reason for reason in found.refusals if reason is not None)
    return Externality(
        method=name_of(method),
        what=what,
        factor=float(factor),
        requests=asked,
        player=workload.player[asked],
        change_g=found.shares[1:] - found.shares[0],
        unattributed_g=found.unattributed[1:] - found.unattributed[0],
        total_g=found.total[1:] - found.total[0],
        flags=(*found.flags, *refused),
    )
