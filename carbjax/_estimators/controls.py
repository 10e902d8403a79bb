"""Which control to use."""

from carbjax._errors import InputError
from carbjax._estimators.closed_form import closed_form
from carbjax._estimators.control import Control, NoControl
from carbjax._estimators.oracle import Oracle
from carbjax._estimators.stand_alone import StandAlone
from carbjax._games.replay import ReplayGame
from carbjax._games.serving import ServingGame

_MOST_ABSENCES = 32  # beyond, the runs without a player take longer than a sample
CONTROLS = ("auto", "none", "stand_alone", "closed_form")


def choose_control(
    control: str | Control, oracle: Oracle, budget: int, least: int
) -> Control:
    """The control asked for; of "auto", the closed form of a game of serving, else none.

    Raises `InputError` for an unknown name, and for "closed_form" of another game.
    """
    if not isinstance(control, str):
        return control
    if control not in CONTROLS:
        raise InputError(
            f"there is no control {control!r}.",
            hint=f"Choose of {', '.join(CONTROLS)}, or give a `Control` of your own.",
        )
    game = oracle.game
    of_serving = isinstance(game, (ServingGame, ReplayGame))
    if of_serving and control in ("auto", "closed_form"):
        return closed_form(game, retiming=retiming_for(game.num_players, budget, least))
    if control == "closed_form":
        raise InputError(
            f"control 'closed_form' needs a game of serving; this is a "
            f"{type(game).__name__}.",
            hint="Use a `ServingGame` or a `ReplayGame`, or control='none'.",
        )
    if control == "stand_alone":
        _require_alone(oracle, budget)
        return StandAlone(oracle)
    return NoControl(oracle.num_players)


def retiming_for(num_players: int, budget: int, least: int) -> str:
    """How `closed_form` retimes: "blended" where absences are worth the values they take.

    They leave the estimator the `least` that it needs, and at least half as many values as
    they take.
    """
    if num_players > _MOST_ABSENCES:
        return "crowding"
    left = budget - num_players
    return "blended" if left >= max(least, num_players // 2) else "crowding"


def _require_alone(oracle: Oracle, budget: int) -> None:
    least = oracle.num_players + 2
    if budget < least:
        raise InputError(
            f"`budget` is {budget}; control 'stand_alone' needs {least} for "
            f"{oracle.num_players} players.",
            hint="Give more, or use control='none'.",
        )
