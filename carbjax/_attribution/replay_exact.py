"""The Shapley value of the replay game in polynomial time."""

import numpy as np
from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import register_method, require_run
from carbjax._estimators.closed_form_batches import batches_of
from carbjax._estimators.closed_form_cells import tabulate
from carbjax._estimators.closed_form_schedules import Recorder
from carbjax._estimators.closed_form_subsets import enumerate_batches
from carbjax._estimators.closed_form_sums import CountedSum, Tabulated
from carbjax._estimators.columns import NUM_COLUMNS, Columns, to_emissions
from carbjax._games.base import AbstractGame
from carbjax._serving.serve import Timeline, serve
from carbjax._serving.system import System
from carbjax._workload import Workload

LARGEST_ENUMERATED = 10  # participants of a batch; their 2^k subsets are all valued


def replay(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """The Shapley value of the replay game: a sum of those of its batches.

    `phi_i = sum_j sum over S in A_j without i of s! (b-s-1)! / b! (c_j(S, i) - c_j(S))`,
    A_j the b players in iteration j and c_j what it emits with the tokens of S alone
    (docs/games.md). Exact where at most 10 players share a batch: all subsets are
    valued. In a larger batch the participants of a class (who reads a prompt, who
    decodes) count as their mean plus what they deviate from it times the slope of c_j:
    exact where those of a class are equal, and efficient always; a flag then says so.

    Source: Shapley (1953); linearity takes the game apart, and in a game of two kinds
    of equal players only the numbers of each count (`cell_weights`). Cost: for each
    batch of P prefills and D decodes 2^(P + D), or `(P + 1) (D + 1)` if that is larger
    than 2^10, evaluations of the iteration cost. Keeps efficiency, null player,
    linearity over iterations, and symmetry (of players equal in all their batches).
    """
    workload, system = require_run("replay", workload, system)
    timeline = timeline or serve(workload, system)
    shares, part = replay_shapley(workload, system)
    flag = f"replay: {part:.0%} of the entries in batches are of mean participants"
    return Attribution(
        "replay",
        to_emissions(shares),
        timeline.standing,
        timeline.emissions,
        flags=(flag,) if part else (),
    )


def replay_shapley(
    workload: Workload, system: System, *, largest_enumerated: int = LARGEST_ENUMERATED
) -> tuple[Columns, float]:
    """Shares by player and component, `"players 5"`, and what part is not exact.

    The part counts participants of batches with more than `largest_enumerated` players.
    Raises `WorkloadError` where the run has too many steps to record.
    """
    players = workload.num_players
    batches = batches_of(Recorder.of(workload, system).real(), players)
    size = np.bincount(batches.batch)
    small = size <= largest_enumerated
    shares = np.zeros((players, NUM_COLUMNS))
    if small.any():
        few = batches.take(small)
        found = enumerate_batches(few, system.cost, system.footprint)
        np.add.at(shares, few.player, found)
    if not small.all():
        many = batches.take(~small)
        cells = tabulate(many, system.cost, system.footprint)
        shares += CountedSum(Tabulated.of(many, cells), players).shapley()[0]
    return shares, float(size[~small].sum() / size.sum())


register_method(
    "replay", replay, needs_game=False, claims=("efficiency", "null_player", "linearity")
)
