"""The axioms as tests: by how much a method breaks each of them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from carbjax._attribution.attribute import attribute
from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import AXIOMS, find_entry
from carbjax._errors import CarbjaxError
from carbjax._games.table import TableGame
from carbjax._serving.system import System
from carbjax._workload import Workload

_PLAYERS = 10  # of the random games: more coalitions than a small sample takes
_SIGMAS = 4.0  # that a sampled share may be off
_APART_S = 1000.0
_TOLERANCE = {True: 1e-9, False: 1e-4}  # in 64 bits, in 32


def check_claims(name: str, *, tolerance: float | None = None) -> None:
    """Raises `CarbjaxError` where the method `name` breaks an axiom that it claims.

    `tolerance` is over the mean share: 1e-9 in 64 bits, 1e-4 in 32. The method is run on
    random games of ten players or, if it needs none, on three small workloads.
    """
    if tolerance is None:
        tolerance = _TOLERANCE[jnp.zeros(()).dtype == jnp.float64]
    found, claimed = violations(name), find_entry(name).claims
    broken = [axiom for axiom in AXIOMS if axiom in claimed and found[axiom] > tolerance]
    if broken:
        told = ", ".join(f"{axiom} (by {found[axiom]:.2g})" for axiom in broken)
        raise CarbjaxError(
            f"method {name!r} does not keep what it claims: {told} of the mean share."
        )


def violations(name: str) -> dict[str, float]:
    """By axiom, how far the method is from keeping it, over the mean share.

    Of a sampled method, beyond four standard errors. Where it is 0 to rounding the axiom
    held in these examples; where it is not, one of them is a counter-example.
    """
    return _on_games(name) if find_entry(name).needs_game else _on_workloads(name)


def _on_games(name: str) -> dict[str, float]:
    """In random games: players 0 and 1 are equal, and player 2 changes nothing."""
    method, rng = find_entry(name).method, np.random.default_rng(2025)
    first, second = (_table(rng) for _ in range(2))
    one, other, both = (
        method(TableGame(values)) for values in (first, second, first + 2.0 * second)
    )
    worth = first[-1] - first[0]
    return _judged(one, worth, equal=(0, 1), null=2) | {
        "linearity": _distance(both, one, other, factor=2.0)
    }


def _table(rng: np.random.Generator) -> Float[np.ndarray, " coalitions"]:
    """Random values that grow with the coalition."""
    index = np.arange(2**_PLAYERS)
    members = index[:, None] >> np.arange(_PLAYERS) & 1
    values = members @ rng.uniform(0.5, 2.0, _PLAYERS) + rng.uniform(size=len(index))
    exchanged = index ^ 3 * (members[:, 0] ^ members[:, 1])
    values = (values + values[exchanged]) / 2
    return values[index & ~4]


def _on_workloads(name: str) -> dict[str, float]:
    """Served two at a time: 1 and 2 are equal but not served together, 3 asks nothing.

    For linearity the same players come again after everybody has left.
    """
    system = System.load("h200-sxm", "llama-3.1-8b", max_num_seqs=2)
    arrival = np.array([0.0, 0.0, 0.0, 0.1, 0.2])
    first = Workload(arrival, [400, 900, 900, 0, 200], [60, 30, 30, 0, 90])
    second = Workload(arrival, [50, 2000, 300, 0, 700], [20, 5, 70, 0, 40])
    together = Workload(
        np.concatenate([arrival, arrival + _APART_S]),
        np.concatenate([first.num_prefill_tokens, second.num_prefill_tokens]),
        np.concatenate([first.num_decode_tokens, second.num_decode_tokens]),
        player=np.tile(np.arange(len(arrival)), 2),
    )
    one, other, both = (attribute(w, system, name) for w in (first, second, together))
    worth = one.total - float(attribute(first, system, "tokens").remainder.total)
    return _judged(one, worth, equal=(1, 2), null=3) | {
        "linearity": _distance(both, one, other, factor=1.0)
    }


def _judged(
    result: Attribution, worth: float, equal: tuple[int, int], null: int
) -> dict[str, float]:
    shares, error = result.shares, _stderr(result)
    a, b = equal
    gap = abs(shares[a] - shares[b]) - _SIGMAS * np.hypot(error[a], error[b])
    alone = abs(shares[null]) - _SIGMAS * error[null]
    away = dict(efficiency=abs(shares.sum() - worth), symmetry=gap, null_player=alone)
    mean = abs(worth) / len(shares)
    return {axiom: max(0.0, float(x)) / mean for axiom, x in away.items()}


def _distance(
    both: Attribution, one: Attribution, other: Attribution, factor: float
) -> float:
    """From the sum's shares to the sum of shares."""
    gap = np.abs(both.shares - one.shares - factor * other.shares)
    variance = _stderr(both) ** 2 + _stderr(one) ** 2 + (factor * _stderr(other)) ** 2
    beyond = np.maximum(gap - _SIGMAS * np.sqrt(variance), 0.0)
    return float(beyond.max() / np.abs(both.shares).mean())


def _stderr(result: Attribution) -> Float[np.ndarray, " players"]:
    return np.zeros(len(result.shares)) if result.stderr is None else result.stderr
