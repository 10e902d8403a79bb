"""What one more token of each prompt and each answer emits."""

import dataclasses

import numpy as np
from jaxtyping import Float

from carbjax._attribution.equal_requests import mean_of_equals
from carbjax._attribution.token_rays import A_TOKEN_MORE, IN_CARBON, TokenRays
from carbjax._serving.continuous import ContinuousServing
from carbjax._serving.serve import serve
from carbjax._serving.system import System
from carbjax._workload import Workload


@dataclasses.dataclass(frozen=True)
class TokenPrices:
    """gCO2e for one more token, `" requests"`, everybody else as they are.

    NaN where there is no price: for requests that ask for nothing, and for the prompt of
    a request without one, whose first token starts kernels.
    """

    prefill_tokens: Float[np.ndarray, " requests"]
    decode_tokens: Float[np.ndarray, " requests"]


def token_prices(workload: Workload, system: System) -> TokenPrices:
    """Marginal emissions of every prompt and decode token, with everybody served.

    The derivatives of the total in the continuous engine, one pass for all of them; the
    window of a machine that is always on stays as it is. Equal requests have equal
    prices: of as many tokens as they are, one more for each. A price may be below 0 where
    a longer prompt makes others share a batch that they would not have shared.

    Raises `WorkloadError` where no request asks for anything.
    """
    if workload.is_null.all():
        serve(workload, system)  # which says what is wrong
    some = ~workload.is_null
    requests = workload.select(some).by_request()
    tokens = np.stack(
        [requests.num_prefill_tokens, A_TOKEN_MORE * requests.num_decode_tokens]
    ).astype(float)
    rays = TokenRays(ContinuousServing(requests, system).requests)
    rays.values(tokens[None])
    _, rates = rays.gradients(tokens[None])
    prices = np.full((2, workload.num_requests), np.nan)
    prices[:, some] = mean_of_equals(np.tensordot(IN_CARBON, rates[0], 1), requests)
    prices[0, workload.num_prefill_tokens == 0] = np.nan
    return TokenPrices(*prices)
