"""The closed-form control: its Shapley value, and how near it is to the games."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._errors import InputError
from carbjax._estimators.closed_form import RETIMINGS, closed_form
from carbjax._estimators.closed_form_agreement import multiple_of_absences
from carbjax._estimators.closed_form_weights import cell_weights
from carbjax._estimators.columns import to_columns, total_of
from carbjax._estimators.controls import retiming_for
from carbjax._estimators.estimate import estimate_shapley
from carbjax._games.many import components_of
from carbjax._games.replay import ReplayGame
from carbjax._games.serving import ServingGame
from carbjax._serving.system import System
from carbjax._workload import Workload
from tests.reference.shapley import shapley_by_subsets
from tests.reference.simulator import Caps
from tests.reference.workloads import cases
from tests.systems import judged

CASES = [
    case
    for case in cases(41, 150, max_requests=6, max_answer=60)
    if len(case.requests) == 5 and not all(request.is_null for request in case.requests)
]


def _all_coalitions(num_players):
    index = np.arange(2**num_players)[:, None]
    return (index >> np.arange(num_players) & 1).astype(bool)


def _values(game):
    return to_columns(components_of(game, jnp.asarray(_all_coalitions(game.num_players))))


def _served(case, provisioning="always_on", player=None):
    return judged(case, np.random.default_rng(42), provisioning, player)[1:]


def _shapley(table):
    num_players = len(table).bit_length() - 1
    return np.array(
        shapley_by_subsets(lambda s: table[sum(1 << i for i in s)], num_players)
    )


@pytest.fixture(scope="module")
def burst():
    """Six requests that arrive while others are served."""
    workload = Workload(
        arrival_s=[0.0, 0.05, 0.2, 0.3, 0.35, 0.5],
        num_prefill_tokens=[3000, 200, 5000, 100, 2000, 1500],
        num_decode_tokens=[60, 90, 30, 120, 70, 80],
    )
    return workload, System.load("h200-sxm", "llama-3.1-8b")


@pytest.mark.parametrize("outsiders", [0, 1, 3])
@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("prefills, decodes", [(1, 0), (0, 3), (1, 2), (3, 2)])
def test_weights_are_those_of_enumeration(prefills, decodes, absent, outsiders):
    rng = np.random.default_rng(43)
    members = prefills + decodes
    counted = members + outsiders
    value, slope = rng.normal(size=(2, prefills + 1, decodes + 1))
    value[0, 0] = slope[0, 0] = 0.0
    times = np.poly1d(rng.normal(size=3))
    deviation = rng.normal(size=members)
    for part in (slice(prefills), slice(prefills, None)):
        deviation[part] -= deviation[part].mean() if deviation[part].size else 0.0

    def game(coalition):
        if counted in coalition:  # who has to be absent
            return 0.0
        inside = [i for i in coalition if i < members]
        a = sum(i < prefills for i in inside)
        b = len(inside) - a
        f = value[a, b] + slope[a, b] * sum(deviation[i] for i in inside)
        return times(len(coalition)) * f

    a, b = (x.ravel() for x in np.indices((prefills + 1, decodes + 1)))
    h = [times(a + b + more) for more in range(3)]
    weights = cell_weights(
        a,
        b,
        np.full(len(a), prefills),
        np.full(len(a), decodes),
        rises=np.stack([h[0], h[1] - h[0], h[2] - 2 * h[1] + h[0]]),
        outsiders=np.full(len(a), outsiders),
        someone_absent=absent,
    )
    prefill = weights.mean_prefill @ value.ravel()
    prefill = prefill + deviation * (weights.deviation_prefill @ slope.ravel())
    decode = weights.mean_decode @ value.ravel()
    decode = decode + deviation * (weights.deviation_decode @ slope.ravel())
    away = np.full(outsiders, weights.outsider @ value.ravel())
    ours = np.concatenate([prefill[:prefills], decode[prefills:], away])
    if absent:
        ours = np.append(ours, weights.absentee @ value.ravel())
    expected = shapley_by_subsets(game, counted + absent)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


@pytest.mark.parametrize("provisioning", ["always_on", "on_demand"])
@pytest.mark.parametrize("retiming", RETIMINGS)
def test_its_shapley_value_is_that_of_its_values(retiming, provisioning):
    for case in CASES[:2]:
        for player in (None, [0, 1, 0, 2, 3]):
            workload, system = _served(case, provisioning, player)
            control = closed_form(ServingGame(workload, system), retiming=retiming)
            both = control.values_and_doubts(_all_coalitions(workload.num_players))
            for table, shares in zip(both, (control.shapley(), control.doubts_shapley())):
                scale = np.abs(both[0]).max() + np.abs(table).max(axis=0)
                error = np.abs(shares - _shapley(table))
                assert (error <= 1e-12 * scale).all()


@pytest.mark.parametrize("retiming", RETIMINGS)
def test_everybody_and_nobody_are_exact(retiming):
    for case in CASES[:2]:
        workload, system = _served(case)
        control = closed_form(ServingGame(workload, system), retiming=retiming)
        both = np.array([[False], [True]]).repeat(workload.num_players, axis=1)
        exact = to_columns(components_of(ServingGame(workload, system), jnp.asarray(both)))
        np.testing.assert_allclose(control.values(both), exact, rtol=1e-9)


def test_without_retiming_equal_players_make_the_replay_game():
    # All are read and answered together, so that they stay equal.
    case = CASES[0]._replace(
        requests=[CASES[0].requests[0]] * 5, policy="prefill_first", caps=Caps(8, 10**6)
    )
    workload, system = _served(case)
    ours = closed_form(ServingGame(workload, system), retiming="none").values(
        _all_coalitions(5)
    )
    np.testing.assert_allclose(ours, _values(ReplayGame(workload, system)), rtol=1e-9)


def test_absences_are_exact_where_one_player_is_absent(burst):
    """Up to what the means of a class with and without the player differ by."""
    others = ~np.eye(6, dtype=bool)
    exact = total_of(to_columns(components_of(ServingGame(*burst), jnp.asarray(others))))

    def error(retiming):
        ours = total_of(closed_form(ServingGame(*burst), retiming=retiming).values(others))
        return np.abs(ours - exact).max()

    assert error("absences") < min(1e-4 * exact.min(), 0.1 * error("none"))


def test_retiming_brings_it_nearer_to_the_reschedule_game(burst):
    exact = total_of(_values(ServingGame(*burst)))
    coalitions = _all_coalitions(6)
    left = {}
    for retiming in RETIMINGS:
        rest = exact - total_of(
            closed_form(ServingGame(*burst), retiming=retiming).values(coalitions)
        )
        left[retiming] = np.std(rest - coalitions @ _shapley(rest))
    spread = np.std(exact - coalitions @ _shapley(exact))
    assert left["none"] < 0.5 * spread
    assert max(left[name] for name in RETIMINGS[1:]) < 0.7 * left["none"]


def test_busy_periods_do_not_see_each_other(burst):
    workload, system = burst
    arrival_s = np.concatenate([workload.arrival_s, workload.arrival_s + 1000])
    prompts, answers = workload.num_prefill_tokens, workload.num_decode_tokens
    twice = Workload(arrival_s, np.tile(prompts, 2), np.tile(answers, 2))
    shares = closed_form(ServingGame(twice, system)).shapley()
    np.testing.assert_allclose(shares[:6], shares[6:], rtol=1e-9)
    control = closed_form(ServingGame(twice, system))
    both = np.zeros((3, 12), bool)
    both[0, 2] = both[1, 9] = both[2, [2, 9]] = True
    first, second, together = total_of(control.values(both))
    nobody = total_of(control.values(np.zeros((1, 12), bool)))[0]
    assert first + second - nobody == pytest.approx(together, rel=1e-12)


def test_a_blend_is_crowding_and_a_multiple_of_its_last_doubt(burst):
    coalitions = _all_coalitions(6)
    game, present = ServingGame(*burst), coalitions.mean(axis=1)
    crowding = total_of(closed_form(game).values(coalitions))
    absences = total_of(closed_form(game, retiming="absences").values(coalitions))
    blend, doubts = closed_form(game, retiming="blended").values_and_doubts(coalitions)
    np.testing.assert_allclose(total_of(blend), crowding + doubts[:, 1], rtol=1e-12)
    multiple = doubts[1, 0] / (absences - crowding)[1]
    assert 0 < multiple < 2
    expected = multiple * (absences - crowding)
    np.testing.assert_allclose(doubts[:, 0], expected, atol=1e-12 * crowding.max())
    np.testing.assert_allclose(doubts[:, 1], present * doubts[:, 0], atol=1e-15)


class Games:
    """Values of the games that tell how far crowding and absences agree."""

    num_games, width = 3, 1

    def __init__(self, crowding, absences):
        self.both = np.array([crowding, absences - crowding, 0 * absences])

    def values(self, members):
        return np.einsum("gp,cp,k->gck", self.both, members, [0, 1, 0, 0, 0])


def test_absences_count_where_they_agree_with_crowding():
    rng = np.random.default_rng(45)
    crowding, other = rng.normal(size=(2, 8))

    def multiple(absences):
        games: Any = Games(crowding, absences)
        return multiple_of_absences([games, games], 8)

    assert multiple(crowding) > multiple(2 * crowding) > multiple(30 * other) >= 0.0
    assert multiple(-crowding) == 0.0


def test_an_unknown_retiming_is_refused(burst):
    with pytest.raises(InputError, match="crowding"):
        closed_form(ServingGame(*burst), retiming="crowded")


@pytest.mark.parametrize("of", [ServingGame, ReplayGame])
def test_it_is_the_control_of_games_of_serving(of, burst):
    found = estimate_shapley(of(*burst), budget=20)
    assert found.control == "closed_form" and found.num_evaluations <= 20


def test_absences_are_taken_where_the_budget_allows_it():
    assert retiming_for(12, 17, 4) == "crowding"
    assert retiming_for(12, 18, 4) == "blended"
    assert retiming_for(12, 37, 26) == "crowding"
    assert retiming_for(1000, 6000, 4) == "crowding"
