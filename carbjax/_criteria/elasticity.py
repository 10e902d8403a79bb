"""How steeply a bill rises with tokens, measured on the engine of whole tokens."""

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from carbjax._attribution.methods import Method
from carbjax._criteria.in_window import attribute_variants
from carbjax._criteria.incentives import pays_nothing, require_base
from carbjax._serving.system import System
from carbjax._workload import Workload

DIFFERENTIABLE = ("streaming", "iteration_equal", "iteration_tokens")
_STEP = 0.01  # of the tokens, at least one


def has_derivative(workload: Workload, method: str | Method, idle: str) -> bool:
    """Whether `carbjax.elasticities` differentiates just these shares.

    It does for methods that charge iterations as they run, request by request, where
    nothing of v of nobody is spread.
    """
    return (
        isinstance(method, str)
        and method in DIFFERENTIABLE
        and idle == "unattributed"
        and workload.num_players == workload.num_requests
    )


def finite_elasticity(
    workload: Workload,
    system: System,
    method: str | Method,
    part: str,
    requests: Int[np.ndarray, " asked"],
    *,
    idle: str = "unattributed",
    key: PRNGKeyArray | None = None,
) -> Float[np.ndarray, " asked"]:
    """d log C / d log tokens of the "prompt" or the "decode" tokens of each request.

    `(C(n + h) - C(n - h)) / (2 h) n / C(n)` with h a hundredth of the n tokens, at least
    one, on whole tokens: small steps see the jumps of the schedule. NaN where n or C is 0.
    """
    prefill, decode = workload.num_prefill_tokens, workload.num_decode_tokens
    tokens = (prefill if part == "prompt" else decode)[requests]
    step = np.maximum(np.rint(_STEP * tokens), 1).astype(np.int64)
    step = np.minimum(step, tokens)
    each = np.arange(len(requests)), requests
    rows = {"prompt": [prefill[None]], "decode": [decode[None]]}
    for sign in (1, -1):
        for name, counts in (("prompt", prefill), ("decode", decode)):
            moved = np.tile(counts, (len(requests), 1))
            if name == part:
                moved[each] += sign * step
            rows[name].append(moved)
    found = attribute_variants(
        workload,
        system,
        method,
        np.concatenate(rows["prompt"]),
        np.concatenate(rows["decode"]),
        idle=idle,
        key=key,
    )
    require_base(found, method)
    player = workload.player[requests]
    base = found.shares[0, player]
    more, less = found.shares[1:].reshape(2, len(requests), -1)
    rise = (more - less)[np.arange(len(requests)), player]
    known = (step > 0) & ~pays_nothing(found, workload, player)
    scale = np.where(known, 2 * step * base, 1.0)
    return np.where(known, rise * tokens / scale, np.nan)
