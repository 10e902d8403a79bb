"""Aumann-Shapley over whole requests: what each token of a workload costs on average.

See docs/aumann_shapley.md.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._attribution.attribution import Attribution, by_player, sum_players
from carbjax._attribution.equal_requests import mean_of_equals
from carbjax._attribution.methods import register_method, require_run
from carbjax._attribution.path_integral import PathIntegral, integrate
from carbjax._attribution.path_jumps import Jump, find_jump, jump_parts
from carbjax._attribution.token_rays import IN_CARBON, TokenRays, as_emissions
from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame
from carbjax._serving.continuous import ContinuousServing
from carbjax._serving.serve import Timeline, serve
from carbjax._serving.system import System
from carbjax._workload import Workload

_VANISHING = 1e-6  # of all tokens: where only the fixed parts of iterations are left
_SHARPNESS = 1e-10  # to which the place of a jump is found, in 64 bits
_SHIFT = 1e4  # times the sharpness: by how much a token count is moved to see a jump move
_LARGEST_SHIFT = 1e-3
_MOST_MOVES = 8192  # token counts moved, over all jumps

_MAX_NODES = 8192
_ACCURACY = 1e-3


@dataclasses.dataclass(frozen=True)
class TokenAttribution:
    """What each player's tokens are responsible for, along the ray from no tokens at all.

    - `prefill_tokens`, `decode_tokens`: gCO2e that a player's prompt (decode) tokens pay,
      `" players"`. A decode token pays for contexts and waiting in prefill iterations
      too, so these are not the components `prefill` and `decode`.
    - `fixed`: gCO2e of iterations without tokens in them, C(0+), `" players"`.
    - `emissions`: all three together, by component.
    - `remainder`, `whole`: as in `Attribution`; `whole` is of the integer engine.
    - `completeness_error`: gCO2e of the continuous engine that is not closed.
    - `engine_gap`: gCO2e by which the integer engine emits more than the continuous one.
    - `jump_g`: gCO2e by which emissions jump along the ray (absolute values), attributed
      or not; `num_jumps` of them.
    - `num_nodes`: gradients taken.
    - `stderr`: None, nothing is sampled.

    `sum(shares) + unattributed = total`.
    """

    prefill_tokens: Float[np.ndarray, " players"]
    decode_tokens: Float[np.ndarray, " players"]
    fixed: Float[np.ndarray, " players"]
    emissions: Emissions
    remainder: Emissions
    whole: Emissions
    completeness_error: float
    engine_gap: float
    jump_g: float
    num_jumps: int
    num_nodes: int
    flags: tuple[str, ...] = ()
    stderr: None = None

    @property
    def shares(self) -> Float[np.ndarray, " players"]:
        """gCO2e that each player is responsible for."""
        return np.asarray(self.emissions.total)

    @property
    def unattributed(self) -> float:
        """gCO2e that nobody was charged for, the machine's own included."""
        return float(self.remainder.total)

    @property
    def total(self) -> float:
        """gCO2e of serving everybody."""
        return float(self.whole.total)


def aumann_shapley(
    workload: Workload,
    system: System,
    *,
    accuracy: float = _ACCURACY,
    max_nodes: int = _MAX_NODES,
    timeline: Timeline | None = None,
) -> TokenAttribution:
    """Aumann-Shapley shares of every prompt and decode token, summed over each player's.

    `phi_i = fixed_i + integral_0^1 (p_i dC/dp_i + d_i dC/dd_i)(tau p, tau d) dtau`, with C
    the emissions above the machine's own in the continuous engine; Aumann and Shapley
    (1974). Nodes are added until the errors of the pieces of the path sum to `accuracy`
    times C, or until `max_nodes`, which is flagged. Cost: 300 to 1,200 gradients of a
    run, more where the schedule changes often.

    Raises `InputError` where `accuracy` or `max_nodes` cannot be used, and
    `WorkloadError` where no request asks for anything.
    """
    _require_settings(accuracy, max_nodes)
    timeline = serve(workload, system) if timeline is None else timeline
    requests = workload.select(~workload.is_null).by_request()
    ray = Ray(requests, system)
    path = ray.integrate(accuracy, max_nodes)
    paid, num_lost = ray.paid_by_tokens(path)
    tokens = mean_of_equals(paid, requests)
    fixed = mean_of_equals(ray.fixed(), requests)
    served = path.pieces[-1].value[-1]
    closing = served - fixed.sum(-1) - tokens.sum((-2, -1))
    parts = [_by_player(x, workload) for x in (tokens[:, 0], tokens[:, 1], fixed)]
    emissions = parts[0] + parts[1] + parts[2]
    whole = jax.tree.map(np.asarray, timeline.emissions)
    above = float((timeline.emissions - timeline.standing).total)
    found = TokenAttribution(
        prefill_tokens=np.asarray(parts[0].total),
        decode_tokens=np.asarray(parts[1].total),
        fixed=np.asarray(parts[2].total),
        emissions=emissions,
        remainder=whole - sum_players(emissions),
        whole=whole,
        completeness_error=abs(float(IN_CARBON @ closing)),
        engine_gap=above - float(IN_CARBON @ served),
        jump_g=float(sum(abs(IN_CARBON @ j.height) for j in path.jumps)),
        num_jumps=len(path.jumps),
        num_nodes=path.num_nodes,
    )
    return dataclasses.replace(found, flags=_flags(found, path, num_lost))


def _by_player(
    parts: Float[np.ndarray, "priced requests"], workload: Workload
) -> Emissions:
    """Parts of the requests that are not null, by player."""
    everybody = np.zeros((len(parts), workload.num_requests))
    everybody[:, ~workload.is_null] = parts
    return by_player(as_emissions(everybody), workload.player, workload.num_players)


class Ray:
    """The ray from no tokens to all of a workload's, in the continuous engine."""

    def __init__(self, workload: Workload, system: System):
        tokens = workload.num_prefill_tokens, workload.num_decode_tokens
        self.tokens = np.stack(tokens).astype(float)
        self.rays = TokenRays(ContinuousServing(workload, system).requests)
        self.sharpness = max(_SHARPNESS, 32 * float(jnp.finfo(float).eps))

    def fixed(self) -> Float[np.ndarray, "priced requests"]:
        """C(0+): iterations whose tokens vanish, shared equally by who is in them."""
        return self.rays.equal_parts(self._points(np.array([_VANISHING])))[0]

    def integrate(self, accuracy: float, max_nodes: int) -> PathIntegral:
        self.rays.values(self._points(np.linspace(_VANISHING, 1.0, 32)))
        return integrate(
            self._along,
            lambda piece: find_jump(self._values, piece, self.sharpness),
            start=_VANISHING,
            end=1 - 10 * self.sharpness,  # at whole tokens many events coincide
            weight=IN_CARBON,
            tolerance=lambda growth: accuracy * growth,
            max_nodes=max_nodes,
        )

    def paid_by_tokens(
        self, path: PathIntegral
    ) -> tuple[Float[np.ndarray, "priced 2 requests"], int]:
        """What each token count pays for, and how many jumps nobody pays for."""
        jumps, num_lost = self._jump_shares(path.jumps)
        return path.parts.reshape(jumps.shape) + jumps, num_lost

    def _jump_shares(
        self, jumps: tuple[Jump, ...]
    ) -> tuple[Float[np.ndarray, "priced 2 requests"], int]:
        """Tokens' shares of the jumps, the largest first, and how many are left out."""
        shares = np.zeros((len(IN_CARBON), self.tokens.size))
        used = np.flatnonzero(self.tokens)
        shift = _SHIFT * self.sharpness
        affordable = _MOST_MOVES // len(used) if shift <= _LARGEST_SHIFT else 0
        ordered = sorted(jumps, key=lambda j: -abs(IN_CARBON @ j.height))
        lost = max(len(jumps) - affordable, 0)
        for jump in ordered[:affordable]:
            parts = jump_parts(self._moved, jump, IN_CARBON, used, shift)
            if parts is None:
                lost += 1
            else:
                shares[:, used] += jump.height[:, None] * parts
        return shares.reshape(-1, *self.tokens.shape), lost

    def _points(self, tau: Float[np.ndarray, " nodes"]) -> np.ndarray:
        return tau[:, None, None] * self.tokens

    def _values(self, tau: Float[np.ndarray, " nodes"]) -> np.ndarray:
        return self.rays.values(self._points(tau))

    def _along(self, tau: Float[np.ndarray, " nodes"]) -> tuple[np.ndarray, np.ndarray]:
        values, rates = self.rays.gradients(self._points(tau))
        growth = rates * self.tokens
        return values, growth.reshape(*growth.shape[:2], -1)

    def _moved(self, tau: np.ndarray, coordinates: np.ndarray, shift: float) -> np.ndarray:
        points = self._points(tau).reshape(len(tau), -1)
        points[np.arange(len(tau)), coordinates] *= 1 + shift
        return self.rays.values(points.reshape(-1, *self.tokens.shape))


def _require_settings(accuracy: float, max_nodes: int) -> None:
    if not (np.isfinite(accuracy) and accuracy > 0):
        raise InputError(
            f"`accuracy` is {accuracy}.",
            hint="Give a positive part of the emissions, such as 1e-3.",
        )
    if max_nodes < 1:
        raise InputError(f"`max_nodes` is {max_nodes}.", hint="Give at least 1.")


def _flags(found: TokenAttribution, path: PathIntegral, num_lost: int) -> tuple[str, ...]:
    served = max(float(np.sum(found.shares)), np.finfo(float).tiny)
    flags = [
        f"aumann_shapley: {found.engine_gap:.2g} g between the integer and the continuous "
        f"engine and {found.completeness_error:.2g} g that did not close are unattributed "
        f"({found.engine_gap / served:.2%} and {found.completeness_error / served:.2%} of "
        "what was attributed)"
    ]
    if num_lost:
        flags.append(
            f"aumann_shapley: {num_lost} of {len(path.jumps)} jumps of the schedule could "
            "not be told apart by tokens and are unattributed"
        )
    if not path.is_accurate:
        flags.append(
            f"aumann_shapley: the shares may be off by {path.error / served:.2%}; "
            f"{path.num_nodes} nodes were not enough"
        )
    return tuple(flags)


def _method(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """`carbjax.aumann_shapley` with its defaults: what tokens cost on average.

    `phi_i = C_i(0+) + int_0^1 (p_i dC/dp_i + d_i dC/dd_i)(t p, t d) dt`, C the emissions
    above the machine's own in the continuous engine, C_i(0+) an equal part of iterations
    without tokens (docs/aumann_shapley.md). Equal requests get equal shares.

    Source: Aumann and Shapley (1974). Cost: a few hundred gradients of a run, whatever C:
    O(I + R) each, times the slots of a step. Keeps symmetry and null player; efficiency
    and linearity but for what its flags give in grams. Far from Shapley where requests
    overlap.
    """
    workload, system = require_run("aumann_shapley", workload, system)
    found = aumann_shapley(workload, system, timeline=timeline)
    return Attribution(
        "aumann_shapley", found.emissions, found.remainder, found.whole, None, found.flags
    )


register_method(
    "aumann_shapley", _method, needs_game=False, claims=("symmetry", "null_player")
)
