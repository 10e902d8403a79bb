"""What a user gains by asking for less: reduction rewards."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import Method
from carbjax._criteria.guard import name_of
from carbjax._criteria.in_window import VariantShares, attribute_variants
from carbjax._criteria.variants import Tokens
from carbjax._errors import InputError
from carbjax._serving.system import System
from carbjax._workload import Workload

PARTS = ("prompt", "decode")

Requests = Sequence[int] | Int[np.ndarray, " asked"]
"""Indices of requests."""

_WHOLE_AFTER_ALL = 1e-9  # 0.29 * 100 is 28.999999999999996 in floats, and 29 tokens

_ROUNDINGS = 64  # of the total


@dataclasses.dataclass(frozen=True)
class RewardReport:
    """Reduction rewards `R = (C(p) - C(factor p)) / C(p)` of requests, by part.

    C is the share of the player who sent the request, gCO2e. `"*factors"` is there only
    where several factors were given. A part that was not asked for is None. Where C(p) is
    0, or where the method could not attribute the reduced workload, the reward is NaN and
    `flags` says so.
    """

    method: str
    factor: float | Float[np.ndarray, " factors"]
    requests: Int[np.ndarray, " asked"]
    prompt: Float[np.ndarray, "*factors asked"] | None
    decode: Float[np.ndarray, "*factors asked"] | None
    base_g: Float[np.ndarray, " asked"]
    reduced_prompt_g: Float[np.ndarray, "*factors asked"] | None
    reduced_decode_g: Float[np.ndarray, "*factors asked"] | None
    flags: tuple[str, ...] = ()


def reduction_reward(
    workload: Workload,
    system: System,
    method: str | Method = "streaming",
    *,
    factor: float | Sequence[float] = 0.5,
    requests: Requests | None = None,
    what: Sequence[str] = PARTS,
    idle: str = "unattributed",
    key: PRNGKeyArray | None = None,
    known: Attribution | None = None,
) -> RewardReport:
    """By how much the bill of each request falls when its prompt or its answer is cut.

    - `method`: a name of `carbjax.methods()`, or a method itself.
    - `factor`: what is kept of the tokens, at least 0, rounded down; or several.
    - `requests`: which ones, by index; all by default. One at a time is cut.
    - `what`: of "prompt" and "decode".
    - `idle`, `key`: as for `carbjax.attribute`; the same key for every run.
    - `known`: what the method attributes of the workload as it is, if that was asked for
      before; it is then not asked again. Without an idle rule.

    Each reduced workload is served and attributed anew. The other requests and the window
    of the unreduced workload stay (Li et al. 2025; docs/incentives.md). Methods that look
    at runs are served side by side, others one reduction after the other.

    Raises `InputError` for a bad argument, or where the method refuses the workload as
    it is.
    """
    factors, parts = _factors(factor), _parts(what)
    asked = chosen_requests(workload, requests)
    prefill, decode = _reduced(workload, asked, factors, parts)
    found = attribute_variants(
        workload, system, method, prefill, decode, idle=idle, key=key, known=known
    )
    require_base(found, method)
    own = _own(found, workload.player[asked], factors)
    reduced = dict(zip(parts, own, strict=True))
    base, reward, flags = _rewards(found, workload, asked, reduced)
    return RewardReport(
        method=name_of(method),
        factor=factors if factors.ndim else float(factors),
        requests=asked,
        prompt=reward.get("prompt"),
        decode=reward.get("decode"),
        base_g=base,
        reduced_prompt_g=reduced.get("prompt"),
        reduced_decode_g=reduced.get("decode"),
        flags=flags,
    )


def _rewards(
    found: VariantShares,
    workload: Workload,
    asked: Int[np.ndarray, " asked"],
    reduced: dict[str, Float[np.ndarray, "*factors asked"]],
) -> tuple[Float[np.ndarray, " asked"], dict[str, np.ndarray], tuple[str, ...]]:
    """C of each request, gCO2e, what is saved of it by part, and what to know of both."""
    player = workload.player[asked]
    base, unpaid = found.shares[0, player], pays_nothing(found, workload, player)
    with np.errstate(divide="ignore", invalid="ignore"):
        reward = {p: np.where(unpaid, np.nan, 1 - g / base) for p, g in reduced.items()}
    return base, reward, (*found.flags, *_flags(workload, asked[unpaid], found))


def keep(tokens: Int[np.ndarray, " n"], factor: float) -> Int[np.ndarray, " n"]:
    """The tokens times the factor, rounded down."""
    return np.floor(tokens * factor + _WHOLE_AFTER_ALL).astype(np.int64)


def pays_nothing(
    found: VariantShares, workload: Workload, player: Int[np.ndarray, " asked"]
) -> Bool[np.ndarray, " asked"]:
    """Which players' shares of the workload as it is are 0.

    Those of null players only up to the rounding of the differences that they are.
    """
    share = found.shares[0, player]
    asking = np.bincount(workload.player, ~workload.is_null, workload.num_players)
    rounding = _ROUNDINGS * float(jnp.finfo(float).eps) * abs(found.total[0])
    return (share == 0) | ((asking[player] == 0) & (np.abs(share) <= rounding))


def chosen_requests(
    workload: Workload, requests: Requests | None
) -> Int[np.ndarray, " asked"]:
    """Their indices, or `InputError` where one is not of the workload."""
    if requests is None:
        return np.arange(workload.num_requests)
    asked = np.asarray(requests)
    if asked.ndim != 1 or len(asked) == 0 or asked.dtype.kind not in "iu":
        raise InputError(
            "`requests` is not a list of indices.", hint="Give such as `requests=[0, 3]`."
        )
    bad = asked[(asked < 0) | (asked >= workload.num_requests)]
    if len(bad):
        raise InputError(
            f"`requests` names request {bad[0]}; the workload has "
            f"{workload.num_requests}, from 0."
        )
    return asked


def require_factor(factor: float) -> None:
    """Raises `InputError` unless it is a number of at least 0."""
    if not (np.isfinite(factor) and factor >= 0):
        raise InputError(f"`factor` is {factor}.", hint="Give at least 0; 0.5 is half.")


def require_base(found: VariantShares, method: str | Method) -> None:
    """Raises `InputError` where the method refused the workload as it is, row 0."""
    if found.refusals[0] is not None:
        raise InputError(
            f"method {name_of(method)!r} cannot attribute the workload as it is: "
            f"{found.refusals[0]}"
        )


def cut_rows(
    workload: Workload, asked: Int[np.ndarray, " asked"], factor: float, part: str
) -> tuple[Tokens, Tokens]:
    """Token counts in which one request after the other keeps `factor` of a part."""
    prefill, decode = (
        np.tile(tokens, (len(asked), 1))
        for tokens in (workload.num_prefill_tokens, workload.num_decode_tokens)
    )
    cut = prefill if part == "prompt" else decode
    each = np.arange(len(asked)), asked
    cut[each] = keep(cut[each], factor)
    return prefill, decode


def _reduced(
    workload: Workload,
    asked: Int[np.ndarray, " asked"],
    factors: Float[np.ndarray, "*factors"],
    parts: tuple[str, ...],
) -> tuple[Tokens, Tokens]:
    """The workload as it is, then each part, factor and request in turn."""
    kept = np.atleast_1d(factors)
    rows = [cut_rows(workload, asked, f, part) for part in parts for f in kept]
    prefill, decode = zip(*rows, strict=True)
    return (
        np.concatenate([workload.num_prefill_tokens[None], *prefill]),
        np.concatenate([workload.num_decode_tokens[None], *decode]),
    )


def _own(
    found: VariantShares,
    player: Int[np.ndarray, " asked"],
    factors: Float[np.ndarray, "*factors"],
) -> Float[np.ndarray, "parts *factors asked"]:
    """What the player pays whose request is cut, in the order of `_reduced`."""
    sizes = -1, *factors.shape, len(player), found.shares.shape[1]
    return found.shares[1:].reshape(sizes)[..., np.arange(len(player)), player]


def _factors(factor: float | Sequence[float]) -> Float[np.ndarray, "*factors"]:
    factors = np.asarray(factor, float)
    if factors.ndim > 1 or factors.size == 0:
        raise InputError("`factor` is empty.", hint="Give a number or a list of numbers.")
    for each in np.atleast_1d(factors):
        require_factor(each)
    return factors


def _parts(what: Sequence[str]) -> tuple[str, ...]:
    parts = (what,) if isinstance(what, str) else tuple(what)
    bad = [part for part in parts if part not in PARTS]
    if bad or not parts or len(set(parts)) != len(parts):
        raise InputError(f"`what` is {what!r}.", hint="Give 'prompt', 'decode' or both.")
    return parts


def _flags(
    workload: Workload,
    unpaid: Int[np.ndarray, " unpaid"],
    found: VariantShares,
) -> list[str]:
    flags = []
    if len(unpaid):
        some = ", ".join(map(str, unpaid[:5])) + (", ..." if len(unpaid) > 5 else "")
        flags.append(f"C(p) = 0, no reward: request {some}")
    refused = [reason for reason in found.refusals if reason is not None]
    if refused:
        flags.append(f"no reward in {len(refused)} reductions: {refused[0]}")
    if workload.num_players < workload.num_requests:
        flags.append("players have several requests: C is the player's whole share")
    return flags
