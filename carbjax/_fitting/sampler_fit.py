"""The sampler of the one GPU where it was profiled."""

import pathlib

import numpy as np

from carbjax._fitting import rtx_profile
from carbjax._fitting.fit import fit_streaming
from carbjax._fitting.report import errors
from carbjax._fitting.splits import held_out_lines

_LAUNCH_S, _LOGITS_PER_S = 2e-5, 2e11  # where the fit starts


def fit_sampler(data: pathlib.Path) -> tuple[float, dict]:
    """Seconds a logit on the RTX PRO 6000. The launch is left to the host's base time."""
    rows = rtx_profile.sampler(data)
    held_out = held_out_lines(rows.num_tokens).held_out
    trial = fit_streaming(rows, _LAUNCH_S, _LOGITS_PER_S, ~held_out)
    predicted = trial.launch + trial.byte * rows.message_bytes
    found = fit_streaming(rows, _LAUNCH_S, _LOGITS_PER_S, np.ones(len(rows), dtype=bool))
    error = errors(predicted[held_out], rows.latency_s[held_out]).as_dict()
    return found.byte, {"sampler latency": error}
