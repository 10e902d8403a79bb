"""One price for each token of answer."""

import numpy as np
from jaxtyping import PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import register_method, require_run
from carbjax._attribution.proportional import in_proportion
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame
from carbjax._serving.serve import Timeline, serve
from carbjax._serving.system import System
from carbjax._workload import Workload


def energy_per_token(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """v(all) - v(none) in proportion to the answer tokens `d`; prompts are free.

    Source: reports of energy by the output token, as the ML.ENERGY benchmark (Chung et
    al. 2025) measures it and EcoLogits (Rince and Banse 2025) models it. Theirs is a
    number for a model; here it is the one at which the bill of this run adds up. Cost:
    O(R) after one run. Keeps efficiency, equal pay for equal requests, and null player;
    not linearity. A request without an answer pays nothing, however long its prompt.

    Raises `InputError` where no request has an answer.
    """
    workload, system = require_run("energy_per_token", workload, system)
    answers = workload.num_decode_tokens
    if not answers.any():
        raise InputError(
            "method 'energy_per_token' has nothing to go by: no request has an answer "
            "token.",
            hint="Use a method that sees prompts, such as `method='tokens'`.",
        )
    weights = np.bincount(workload.player, answers, workload.num_players)
    return in_proportion("energy_per_token", weights, timeline or serve(workload, system))


register_method(
    "energy_per_token",
    energy_per_token,
    needs_game=False,
    claims=("efficiency", "symmetry", "null_player"),
)
