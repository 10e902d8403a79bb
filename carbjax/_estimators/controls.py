"""Which control to use."""

from carbjax._errors import InputError
from carbjax._estimators.closed_form import closed_form
from carbjax._estimators.control import Control, NoControl
from carbjax._estimators.oracle import Oracle
from carbjax._estimators.stand_alone import StandAlone
from carbjax._serving.system import System
from carbjax._workload import Workload

CONTROLS = ("auto", "none", "stand_alone", "closed_form")


def choose_control(
    control: str | Control,
    oracle: Oracle,
    budget: int,
    workload: Workload | None,
    system: System | None,
) -> Control:
    """The control asked for; of "auto", the closed form where the run is known, else none.

    Raises `InputError` for an unknown name, and for "closed_form" without a run.
    """
    if not isinstance(control, str):
        return control
    if control not in CONTROLS:
        raise InputError(
            f"there is no control {control!r}.",
            hint=f"Choose of {', '.join(CONTROLS)}, or give a `Control` of your own.",
        )
    known = workload is not None and system is not None
    if control == "closed_form" or (control == "auto" and known):
        if workload is None or system is None:
            raise InputError(
                "control 'closed_form' needs to know what is served.",
                hint="Give `workload=` and `system=`, or use control='none'.",
            )
        return closed_form(workload, system)
    if control == "stand_alone":
        _require_alone(oracle, budget)
        return StandAlone(oracle)
    return NoControl(oracle.num_players)


def _require_alone(oracle: Oracle, budget: int) -> None:
    least = oracle.num_players + 2
    if budget < least:
        raise InputError(
            f"`budget` is {budget}; control 'stand_alone' needs {least} for "
            f"{oracle.num_players} players.",
            hint="Give more, or use control='none'.",
        )
