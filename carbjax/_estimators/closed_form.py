"""The closed-form control: iterations of mean participants, tilted by deviations."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from carbjax._carbon.footprint import Footprint
from carbjax._errors import InputError
from carbjax._estimators.closed_form_agreement import multiple_of_absences
from carbjax._estimators.closed_form_batches import Batches, batches_of
from carbjax._estimators.closed_form_cells import tabulate
from carbjax._estimators.closed_form_schedules import (
    Recorder,
    busy_blocks,
    participants,
)
from carbjax._estimators.closed_form_sums import (
    CountedSum,
    Games,
    Tabulated,
    combine,
    values_of,
)
from carbjax._estimators.columns import Columns, to_columns, total_of
from carbjax._games.replay import ReplayGame
from carbjax._games.serving import ServingGame
from carbjax._serving.steps import Steps
from carbjax._surrogate.cost import AbstractIterationCost

Blocks = Int[np.ndarray, " players"]
"""Of each player, the number of its block."""

RETIMINGS = ("none", "crowding", "absences", "blended")
# By retiming: factors of 1, s and s^2, a row for the control and for each doubt.
_POWERS = {
    "none": dict(real=[[1, 0, 0]]),
    "crowding": dict(real=[[1, 0, 0]], crowd=[[1, -1, 0]]),
    "absences": dict(real=[[1, 0, 0]], absence=[[1, 0, 0]]),
    # The control of crowding, then the doubts: absences less crowding, and s times that.
    "blended": dict(
        real=[[1, 0, 0], [0, 0, 0], [0, 0, 0]],
        absence=[[0, 0, 0], [1, 0, 0], [0, 1, 0]],
        crowd=[[1, -1, 0], [-1, 1, 0], [0, -1, 1]],
    ),
}


def closed_form(
    game: ServingGame | ReplayGame, *, retiming: str = "crowding"
) -> "ClosedForm":
    """A control near `game`; its Shapley value is exact.

    Each iteration of a schedule emits what a batch of as many mean participants would,
    plus its slope times by how much those who take part deviate from the mean:

        f_j(S) = G_j(a, b) + g_j(a, b) . sum over i in S of (z_i - mean z of i's class)

    a and b count who of S reads a prompt in iteration j and who decodes. F, the sum over
    the real schedule, is near the replay game. The reschedule game serves a small
    coalition sooner than it was served in the crowd. The replay game does not, so for
    it the control is F. For the reschedule game, `retiming` says what is added to F; s is
    the part of a busy period's players that is present:

    - "none": nothing.
    - "crowding": `(1 - s) (F_0 - F)`, F_0 the sum over an uncrowded schedule, where
      everybody counts as one n-th of a request: right for the smallest coalitions. Two
      runs of the engine.
    - "absences": the sum over absent m of `F_m - F`, F_m the sum over the schedule had m
      not come, and both without m: right where one player is absent. n + 1 runs, of
      which n take a value of v each.
    - "blended": `C + m s (A - C)`, A the absences and C the crowding: right at both ends.
      m grows with how well the two agree (closed_form_agreement.py). n + 2 runs. The
      doubts are `m (A - C)` and `m s (A - C)`.

    Cost beyond the runs: `(P_j + 1)(D_j + 1)` evaluations of the iteration cost for a
    batch of P_j prefills and D_j decodes; a value costs a few look-ups a batch, the
    Shapley value one pass over the tables. Raises `InputError` for another `retiming`,
    and `WorkloadError` where the run has too many steps to record.
    """
    if retiming not in RETIMINGS:
        raise InputError(
            f"there is no retiming {retiming!r}.", hint=f"Choose of {', '.join(RETIMINGS)}."
        )
    players, nobody = game.num_players, to_columns(game.standing)
    if isinstance(game, ReplayGame):
        batches = batches_of(game.steps, players)
        of = [(1.0, _tabulated(batches, game.cost, game.footprint))]
        sums = _counted([_Part(of, _POWERS["none"]["real"])], players)
        return ClosedForm(sums, nobody)
    sums = _Schedules(Recorder.of_game(game)).sums(**_POWERS[retiming])
    if retiming in ("none", "crowding"):
        return ClosedForm(sums, nobody)
    multiple = multiple_of_absences(sums, players) if retiming == "blended" else 0.0
    return ClosedForm(sums, nobody, ~np.eye(players, dtype=bool), multiple)


class _Schedules:
    """The games of each retiming."""

    def __init__(self, recorder: Recorder):
        self._recorder = recorder
        self._num_players = recorder.num_players
        self._real = recorder.real()

    def sums(
        self, real: list, crowd: list | None = None, absence: list | None = None
    ) -> list[CountedSum]:
        """The parts, each times its `powers` where it is wanted."""
        schedules, without = [self._real], {}
        if absence is not None:
            without = self._absences()
            schedules += without.values()
        if crowd is not None:
            uncrowded = self._recorder.uncrowded()
            schedules.append(uncrowded)
        block = busy_blocks(schedules, self._num_players)
        parts = [_Part([(1.0, self._sum(self._real))], real)]
        if crowd is not None:
            parts += self._of_crowd(uncrowded, block, crowd)
        if absence is not None:
            parts += self._of_absences(without, block, absence)
        return _counted(parts, self._num_players)

    def _of_crowd(self, uncrowded: Steps, block: Blocks, powers: list) -> list["_Part"]:
        ends = (1.0, self._sum(uncrowded)), (-1.0, self._sum(self._real))
        return [
            _Part(_of_block(ends, block, number), powers, block == number)
            for number in np.unique(block)
        ]

    def _of_absences(
        self, without: dict[int, Steps], block: Blocks, powers: list
    ) -> list["_Part"]:
        found = []
        for player, steps in without.items():
            ends = (1.0, self._sum(steps, player)), (-1.0, self._sum(self._real, player))
            own = block[player]
            found.append(_Part(_of_block(ends, block, own), powers, block == own, player))
        return found

    def _absences(self) -> dict[int, Steps]:
        """The schedule without each player; one who takes part in nothing changes none."""
        found = {}
        for player in range(self._num_players):
            steps = self._recorder.without(player)
            if steps is not None and _takes_part(self._real, player):
                found[player] = steps
        return found

    def _sum(self, steps: Steps, absent: int | None = None) -> Tabulated:
        recorder = self._recorder
        batches = batches_of(steps, self._num_players, absent)
        return _tabulated(batches, recorder.server.cost, recorder.footprint)


class _Part(NamedTuple):
    """A sum of batches and the `powers` of how many of a block come, of `CountedSum`."""

    of: list[tuple[float, Tabulated]]
    powers: list
    block: Bool[np.ndarray, " players"] | None = None
    absent: int | None = None


def _counted(parts: list[_Part], num_players: int) -> list[CountedSum]:
    """The parts in which not all cancels."""
    found = []
    for part in parts:
        of, powers = combine(part.of), np.array(part.powers, float)
        if of is not None:
            found.append(
                CountedSum(of, num_players, powers, block=part.block, absent=part.absent)
            )
    return found


def _of_block(
    parts: tuple[tuple[float, Tabulated], ...], block: Blocks, number: int
) -> list[tuple[float, Tabulated]]:
    """The batches of one block alone."""
    return [(sign, part.take(block[part.first_player] == number)) for sign, part in parts]


def _tabulated(
    batches: Batches, cost: AbstractIterationCost, footprint: Footprint
) -> Tabulated:
    return Tabulated.of(batches, tabulate(batches, cost, footprint))


def _takes_part(steps: Steps, player: int) -> bool:
    slots = np.asarray(steps.player)[0] == player
    return bool(participants(steps)[:, slots].any())


class ClosedForm:
    """The control of `closed_form`: a `DoubtfulControl`."""

    name = "closed_form"

    def __init__(
        self,
        sums: list[CountedSum],
        nobody: Columns,
        taken: Bool[np.ndarray, "coalitions players"] | None = None,
        multiple: float = 0.0,  # of the doubts; the control has the last of them
    ):
        self._sums, self._nobody, self._multiple = sums, nobody, multiple
        self._shapley = self._leaning(np.sum([part.shapley() for part in sums], axis=0))
        players = self._shapley.shape[1]
        self.taken = np.zeros((0, players), bool) if taken is None else taken

    def values(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Columns:
        """By component, `"coalitions 5"`."""
        return self.values_and_doubts(coalitions)[0]

    def shapley(self) -> Columns:
        """By component, `"players 5"`; sums to the value of all less that of nobody."""
        return self._shapley[0]

    def values_and_doubts(
        self, coalitions: Bool[np.ndarray, "coalitions players"]
    ) -> tuple[Columns, Float[np.ndarray, "coalitions doubts"]]:
        """`values`, and the doubts in g."""
        games = self._leaning(values_of(self._sums, coalitions))
        return self._nobody + games[0], total_of(games[1:]).T

    def doubts_shapley(self) -> Float[np.ndarray, "players doubts"]:
        """Shapley values of the doubts, g."""
        return total_of(self._shapley[1:]).T

    def _leaning(self, games: Games) -> Games:
        """Doubts times the multiple, and the control with the last of them."""
        doubts = self._multiple * games[1:]
        return np.concatenate([games[:1] + doubts[-1:].sum(axis=0), doubts])
