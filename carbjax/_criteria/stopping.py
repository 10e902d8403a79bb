"""What a user saves by stopping an answer early."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from carbjax._attribution.methods import Method
from carbjax._criteria.guard import name_of
from carbjax._criteria.in_window import attribute_variants
from carbjax._criteria.incentives import chosen_requests, require_base
from carbjax._errors import InputError
from carbjax._serving.system import System
from carbjax._workload import Workload

_POINTS = 65


@dataclasses.dataclass(frozen=True)
class StoppingCurve:
    """The bill of a request whose answer stops at each number of tokens.

    - `share_g`: of the player who sent it.
    - `saved_g`: how much less that is than with the whole answer.
    - `total_saved_g`: how much less everybody together emits, in the same window.
    """

    method: str
    request: int
    tokens: Int[np.ndarray, " points"]
    share_g: Float[np.ndarray, " points"]
    saved_g: Float[np.ndarray, " points"]
    total_saved_g: Float[np.ndarray, " points"]
    flags: tuple[str, ...] = ()

    @property
    def token_g(self) -> Float[np.ndarray, " steps"]:
        """Mean price of a token between each point and the next, gCO2e."""
        return np.diff(self.share_g) / np.diff(self.tokens)


def stopping_curve(
    workload: Workload,
    system: System,
    method: str | Method = "streaming",
    *,
    request: int,
    tokens: Sequence[int] | Int[np.ndarray, " stops"] | None = None,
    idle: str = "unattributed",
    key: PRNGKeyArray | None = None,
) -> StoppingCurve:
    """The bill of `request` if its answer had stopped at token k, for each k.

    `tokens`: the k, increasing whole numbers up to the length of the answer; by default
    65 of them spread evenly. Others and the window of the whole answer stay; each stop is
    served and attributed anew, side by side where the method looks at runs. A reasoning
    model's chain of thought is such an answer.

    Raises `InputError`.
    """
    (index,) = chosen_requests(workload, [request])
    whole = int(workload.num_decode_tokens[index])
    stops = _stops(tokens, whole)
    prefill, decode = (
        np.tile(counts, (len(stops) + 1, 1))
        for counts in (workload.num_prefill_tokens, workload.num_decode_tokens)
    )
    decode[1:, index] = stops
    found = attribute_variants(
        workload, system, method, prefill, decode, idle=idle, key=key
    )
    require_base(found, method)
    share = found.shares[:, workload.player[index]]
    refused = dict.fromkeys(reason for reason in found.refusals if reason is not None)
    return StoppingCurve(
        method=name_of(method),
        request=int(index),
        tokens=stops,
        share_g=share[1:],
        saved_g=share[0] - share[1:],
        total_saved_g=found.total[0] - found.total[1:],
        flags=(*found.flags, *refused),
    )


def _stops(
    tokens: Sequence[int] | Int[np.ndarray, " stops"] | None, whole: int
) -> Int[np.ndarray, " points"]:
    if tokens is None:
        return np.unique(np.linspace(0, whole, _POINTS).round().astype(np.int64))
    stops = np.asarray(tokens)
    good = stops.ndim == 1 and len(stops) > 0 and stops.dtype.kind in "iu"
    if not (good and (np.diff(stops) > 0).all() and 0 <= stops[0] and stops[-1] <= whole):
        raise InputError(
            "`tokens` are not increasing whole numbers within the answer.",
            hint=f"Give some of 0 to {whole}.",
        )
    return stops.astype(np.int64)
