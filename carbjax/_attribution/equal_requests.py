"""Equal treatment of equal requests."""

import numpy as np
from jaxtyping import Float, Int

from carbjax._workload import Workload


def kinds_of(workload: Workload) -> Int[np.ndarray, " requests"]:
    """A number for each request, the same for those equal in arrival and tokens."""
    rows = np.stack(
        [workload.arrival_s, workload.num_prefill_tokens, workload.num_decode_tokens]
    )
    return np.unique(rows, axis=1, return_inverse=True)[1].reshape(-1)


def mean_of_equals(
    parts: Float[np.ndarray, "*parts requests"], workload: Workload
) -> Float[np.ndarray, "*parts requests"]:
    """The mean over all orders in which equal requests could stand in the queue.

    Exchanging two of them changes no emissions: it exchanges their parts.
    """
    kind = kinds_of(workload)
    belongs = np.eye(kind.max() + 1)[kind]
    return (parts @ (belongs / belongs.sum(axis=0)))[..., kind]
