"""What a method attributes in changed copies of a workload, its window kept."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._attribution.attribution import Attribution, by_player
from carbjax._attribution.idle import IDLE_RULES, spread_idle
from carbjax._attribution.methods import Method, find_method, needs_game
from carbjax._attribution.of_runs import run_observer
from carbjax._criteria.guard import name_of
from carbjax._criteria.variants import Tokens, Variant, serve_variants
from carbjax._errors import CarbjaxError, InputError
from carbjax._games.many import require_finite
from carbjax._games.serving import ServingGame
from carbjax._serving.observers import AbstractObserver
from carbjax._serving.serve import Timeline
from carbjax._serving.system import System
from carbjax._workload import Workload


@dataclasses.dataclass(frozen=True)
class VariantShares:
    """Attributions of copies of a workload: `shares.sum(1) + unattributed = total`.

    gCO2e. Where the method refused a copy its row is NaN and `refusals` says why.
    """

    shares: Float[np.ndarray, "variants players"]
    unattributed: Float[np.ndarray, " variants"]
    total: Float[np.ndarray, " variants"]
    refusals: tuple[str | None, ...]
    flags: tuple[str, ...]


def attribute_variants(
    workload: Workload,
    system: System,
    method: str | Method,
    num_prefill_tokens: Tokens,
    num_decode_tokens: Tokens,
    *,
    idle: str = "unattributed",
    key: PRNGKeyArray | None = None,
    known: Attribution | None = None,
) -> VariantShares:
    """What `method` attributes for each row of token counts, all else unchanged.

    The window, and with it v of nobody, stays the workload's own. Each copy is served and
    attributed anew, with the same `key`. Equal rows are attributed once, the workload as
    it is not at all where its attribution is `known`. Raises `InputError` for an unknown
    method or idle rule.
    """
    if idle not in IDLE_RULES:
        raise InputError(
            f"there is no idle rule {idle!r}.", hint=f"Choose of {', '.join(IDLE_RULES)}."
        )
    charge = _charge_fn(workload, system, method, key, known)
    observer = _observer(method, workload, system)
    rows = np.concatenate([num_prefill_tokens, num_decode_tokens], axis=1)
    distinct, place = np.unique(rows, axis=0, return_inverse=True)
    prefill, decode = np.split(distinct, 2, axis=1)
    served = serve_variants(workload, system, prefill, decode, observer)
    found = [_attribute(variant, charge, idle, workload.num_players) for variant in served]
    place = place.reshape(-1)
    shares, unattributed, total, refusals = zip(*found, strict=True)
    return VariantShares(
        shares=np.array(shares)[place],
        unattributed=np.array(unattributed)[place],
        total=np.array(total)[place],
        refusals=tuple(refusals[i] for i in place),
        flags=system.flags(workload),
    )


def _observer(
    method: str | Method, workload: Workload, system: System
) -> AbstractObserver | None:
    return run_observer(method, workload, system) if isinstance(method, str) else None


Charge = Callable[[Variant, Timeline], Attribution]


def _charge_fn(
    workload: Workload,
    system: System,
    method: str | Method,
    key: PRNGKeyArray | None,
    known: Attribution | None,
) -> Charge:
    """The method as a function of a served copy."""
    name = name_of(method)
    function = find_method(method) if isinstance(method, str) else method
    asks_game = needs_game(method) if isinstance(method, str) else True

    def charge(variant: Variant, timeline: Timeline) -> Attribution:
        if variant.charged is not None:
            shares = by_player(variant.charged, workload.player, workload.num_players)
            return Attribution(name, shares, timeline.standing, timeline.emissions)
        if known is not None and _asks_alike(variant.workload, workload):
            return known
        window = timeline.start_s, timeline.end_s
        game = ServingGame(variant.workload, system, window_s=window) if asks_game else None
        return function(
            game, workload=variant.workload, system=system, timeline=timeline, key=key
        )

    return charge


def _asks_alike(one: Workload, other: Workload) -> bool:
    return np.array_equal(
        one.num_prefill_tokens, other.num_prefill_tokens
    ) and np.array_equal(one.num_decode_tokens, other.num_decode_tokens)


Row = tuple[np.ndarray, float, float, str | None]


def _attribute(variant: Variant, charge: Charge, idle: str, num_players: int) -> Row:
    """Shares, unattributed and total of one copy, and why the method refused it."""
    if variant.timeline is None:
        return _of_nobody(variant, idle, num_players)
    try:
        attribution = _in_window(charge(variant, variant.timeline), variant.timeline)
        require_finite(attribution.emissions)
        attribution = spread_idle(
            attribution,
            idle,
            nobody=variant.standing,
            workload=variant.workload,
            timeline=variant.timeline,
        )
    except CarbjaxError as error:
        return np.full(num_players, np.nan), np.nan, np.nan, str(error)
    return attribution.shares, attribution.unattributed, attribution.total, None


def _of_nobody(variant: Variant, idle: str, num_players: int) -> Row:
    """Nobody is served: all of it is the machine's, which no rule can spread."""
    total = float(variant.standing.total)
    if idle == "unattributed":
        return np.zeros(num_players), total, total, None
    reason = f"nobody asks for anything, and idle rule {idle!r} has nobody to charge"
    return np.full(num_players, np.nan), np.nan, total, reason


def _in_window(attribution: Attribution, timeline: Timeline) -> Attribution:
    """The attribution with the original's window, where the method took the copy's own.

    What the machine emits with nobody served moves in total and remainder alike: no
    share changes.
    """
    missing = jax.tree.map(
        lambda kept, own: np.asarray(kept) - np.asarray(own),
        timeline.emissions,
        attribution.whole,
    )
    return dataclasses.replace(
        attribution,
        remainder=attribution.remainder + missing,
        whole=attribution.whole + missing,
    )
