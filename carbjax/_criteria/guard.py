"""Methods run so that one that misbehaves is named, and the others go on."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import Method, find_method
from carbjax._games.base import AbstractGame
from carbjax._serving.serve import Timeline
from carbjax._serving.system import System
from carbjax._workload import Workload

SINS = ("raises", "no_attribution", "shape", "not_finite", "not_deterministic", "open")
_CLOSED = 1e-5  # of the total: far above rounding in 32 bits, far below what matters
_SAME = 1e-6  # of the largest share


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a method's answer cannot be judged.

    `sin`: "raises"; "no_attribution", where something else came back; "shape";
    "not_finite"; "not_deterministic", where the same key gives other shares; "open",
    where shares and unattributed part do not add up to what was emitted.
    """

    method: str
    sin: str
    reason: str

    def __str__(self) -> str:
        return f"{self.method}: {self.reason}"


def name_of(method: str | Method) -> str:
    """What to call the method in a table."""
    if isinstance(method, str):
        return method
    return getattr(method, "__name__", type(method).__name__)


def run_guarded(
    method: str | Method,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    game: AbstractGame | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
    whole_g: float | None = None,
    twice: bool = True,
    closed: bool = True,
) -> Attribution | Refusal:
    """The method's attribution, or what is wrong with it, as a value.

    - `method`: a name of `carbjax.methods()` or a callable of the same protocol. It is
      given `game`, `workload`, `system`, `timeline` and `key` as they are here.
    - `whole_g`: gCO2e of serving everybody, which shares and unattributed part must add
      up to within 1e-5; by default that of `timeline`, if there is one.
    - `twice`: run it again with the same key, and compare.
    - `closed`: whether not to add up is a reason to refuse.

    Whatever the method raises becomes a `Refusal`, except what is no `Exception`. An
    unknown name raises `InputError`.
    """
    name = name_of(method)
    charge = find_method(method) if isinstance(method, str) else method
    key = jax.random.key(0) if key is None else key

    def ask() -> Attribution:
        return charge(game, workload=workload, system=system, timeline=timeline, key=key)

    num_players = _num_players(workload, game)
    if whole_g is None and timeline is not None:
        whole_g = timeline.carbon_g
    found = _ask(name, ask, num_players)
    if isinstance(found, Refusal):
        return found
    again = _ask(name, ask, num_players) if twice else found
    if isinstance(again, Refusal):
        return again
    gap = _gapes(name, found, whole_g) if closed else None
    return differing(name, found, again) or gap or found


def reason_of(error: Exception) -> str:
    """Such as "raises ValueError: no tokens", of what a method raised."""
    said = str(error).strip().splitlines()
    return f"raises {type(error).__name__}" + (f": {said[0]}" if said else "")


def _ask(
    name: str, ask: Callable[[], Attribution], num_players: int | None
) -> Attribution | Refusal:
    """One answer, checked by itself."""
    try:
        found = ask()
        if not isinstance(found, Attribution):
            kind = type(found).__name__
            return Refusal(name, "no_attribution", f"returns {kind}, not an Attribution")
        shares = np.asarray(found.shares, float)
        sums = np.array([found.unattributed, found.total])
    except Exception as error:
        return Refusal(name, "raises", reason_of(error))
    if num_players is not None and shares.shape != (num_players,):
        reason = f"shares have shape {shares.shape} for {num_players} players"
        return Refusal(name, "shape", reason)
    bad = np.flatnonzero(~np.isfinite(shares))
    if len(bad):
        return Refusal(
            name, "not_finite", f"the share of player {bad[0]} is {shares[bad[0]]}"
        )
    if not np.isfinite(sums).all():
        return Refusal(name, "not_finite", "total or unattributed part is not finite")
    return found


def differing(name: str, first: Attribution, second: Attribution) -> Refusal | None:
    """What is wrong where two answers with the same key are not the same."""
    gap = np.abs(first.shares - second.shares)
    if gap.max() <= _SAME * np.abs(first.shares).max():
        return None
    who = int(gap.argmax())
    reason = (
        f"with the same key, player {who} owes {first.shares[who]:.6g} gCO2e and then "
        f"{second.shares[who]:.6g}"
    )
    return Refusal(name, "not_deterministic", reason)


def _gapes(name: str, found: Attribution, whole_g: float | None) -> Refusal | None:
    """Whether shares and unattributed part miss the method's total, or the real one."""
    whole = found.total if whole_g is None else whole_g
    added = float(np.sum(found.shares)) + found.unattributed
    if max(abs(found.residual), abs(whole - added)) <= _CLOSED * abs(whole):
        return None
    reason = (
        f"shares and unattributed part are {added:.6g} gCO2e together, its total is "
        f"{found.total:.6g}, and {whole:.6g} were emitted"
    )
    return Refusal(name, "open", reason)


def _num_players(workload: Workload | None, game: AbstractGame | None) -> int | None:
    if workload is not None:
        return workload.num_players
    return None if game is None else game.num_players
