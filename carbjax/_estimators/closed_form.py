"""The closed-form control: iterations of mean participants, tilted by deviations."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from carbjax._carbon.footprint import Footprint
from carbjax._errors import InputError
from carbjax._estimators.closed_form_batches import Batches, batches_of
from carbjax._estimators.closed_form_cells import tabulate
from carbjax._estimators.closed_form_schedules import (
    Recorder,
    busy_blocks,
    participants,
)
from carbjax._estimators.closed_form_sums import CountedSum, Tabulated, combine
from carbjax._estimators.columns import Columns, to_columns
from carbjax._games.replay import ReplayGame
from carbjax._games.serving import ServingGame
from carbjax._serving.steps import Steps
from carbjax._surrogate.cost import AbstractIterationCost

RETIMINGS = ("none", "crowding", "absences", "both")
_MOST_ENTRIES = 2**20  # coalitions times look-ups that are held at once


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
    it the control is F. For the reschedule game, `retiming`:

    - "none": F.
    - "crowding": `(1 - s) F_0 + s F`, s the part of a busy period's players that is
      present, F_0 the sum over an uncrowded schedule, where everybody counts as one
      n-th of a request. Two runs of the engine.
    - "absences": `F - sum over absent m of (F - F_m)`, F_m the sum over the schedule had
      m not come, and both without m: n + 1 runs.
    - "both": the mean of these two.

    Cost beyond the runs: `(P_j + 1)(D_j + 1)` evaluations of the iteration cost for a
    batch of P_j prefills and D_j decodes; a value costs a few look-ups a batch, the
    Shapley value one pass over the tables. Raises `InputError` for another `retiming`,
    and `WorkloadError` where the run has too many steps to record.
    """
    if retiming not in RETIMINGS:
        raise InputError(
            f"there is no retiming {retiming!r}.", hint=f"Choose of {', '.join(RETIMINGS)}."
        )
    if isinstance(game, ReplayGame):
        batches = batches_of(game.steps, game.num_players)
        terms = [_Term(1.0, _tabulated(batches, game.cost, game.footprint))]
        return ClosedForm(terms, game.num_players, to_columns(game.standing))
    schedules = _Schedules(Recorder.of_game(game))
    terms = {
        "none": schedules.as_they_are,
        "crowding": schedules.crowding,
        "absences": schedules.absences,
        "both": schedules.both,
    }[retiming]()
    return ClosedForm(terms, game.num_players, to_columns(game.standing))


class _Term(NamedTuple):
    """`factor |S and counted| f(S)`, or `factor f(S)` where `counted` is None."""

    factor: float
    f: Tabulated
    counted: bytes | None = None  # of a mask of the players


class _Schedules:
    """The terms of each retiming."""

    def __init__(self, recorder: Recorder):
        self._recorder = recorder
        self._num_players = recorder.num_players
        self._real = recorder.real()

    def as_they_are(self) -> list[_Term]:
        return [_Term(1.0, self._sum(self._real))]

    def crowding(self) -> list[_Term]:
        uncrowded = self._recorder.uncrowded()
        block = busy_blocks([self._real, uncrowded], self._num_players)
        crowded_sum, uncrowded_sum = self._sum(self._real), self._sum(uncrowded)
        terms = [_Term(1.0, uncrowded_sum)]
        for part, sign in ((crowded_sum, 1.0), (uncrowded_sum, -1.0)):
            block_of_batch = block[part.first_player]
            for number in np.unique(block_of_batch):
                members = block == number
                of_block = part.take(block_of_batch == number)
                terms.append(_Term(sign / members.sum(), of_block, members.tobytes()))
        return terms

    def absences(self) -> list[_Term]:
        terms = self.as_they_are()
        for player in range(self._num_players):
            without = self._recorder.without(player)
            # A player that takes part in nothing changes nothing.
            if without is None or not _takes_part(self._real, player):
                continue
            only = (np.arange(self._num_players) == player).tobytes()
            for factor, steps in ((1.0, without), (-1.0, self._real)):
                part = self._sum(steps, absent=player)
                terms += [_Term(factor, part), _Term(-factor, part, only)]
        return terms

    def both(self) -> list[_Term]:
        terms = (*self.crowding(), *self.absences())
        return [term._replace(factor=term.factor / 2) for term in terms]

    def _sum(self, steps: Steps, absent: int | None = None) -> Tabulated:
        recorder = self._recorder
        batches = batches_of(steps, self._num_players, absent)
        return _tabulated(batches, recorder.server.cost, recorder.footprint)


def _tabulated(
    batches: Batches, cost: AbstractIterationCost, footprint: Footprint
) -> Tabulated:
    return Tabulated.of(batches, tabulate(batches, cost, footprint))


def _takes_part(steps: Steps, player: int) -> bool:
    slots = np.asarray(steps.player)[0] == player
    return bool(participants(steps)[:, slots].any())


class ClosedForm:
    """The control of `closed_form`: a `Control`."""

    name = "closed_form"

    def __init__(self, terms: list[_Term], num_players: int, nobody: Columns):
        by_counted: dict[bytes | None, list[tuple[float, Tabulated]]] = {}
        for term in terms:
            by_counted.setdefault(term.counted, []).append((term.factor, term.f))
        self._sums = [
            CountedSum(
                combine(parts),
                num_players,
                None if counted is None else np.frombuffer(counted, bool),
            )
            for counted, parts in by_counted.items()
        ]
        self._nobody = nobody

    def values(self, coalitions: Bool[np.ndarray, "coalitions players"]) -> Columns:
        """By component, `"coalitions 5"`."""
        members = np.asarray(coalitions, np.float64)
        values = np.tile(self._nobody, (len(members), 1))
        for part in self._sums:
            rows = max(1, _MOST_ENTRIES // part.width)
            for start in range(0, len(members), rows):
                now = slice(start, start + rows)
                values[now] += part.values(members[now])
        return values

    def shapley(self) -> Columns:
        """By component, `"players 5"`; sums to the value of all less that of nobody."""
        return np.sum([part.shapley() for part in self._sums], axis=0)
