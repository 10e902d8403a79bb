"""A recorded run: every step, along a leading axis."""

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Int

from carbjax._serving.engine import Step

Steps = Step
"""A `Step` whose every leaf has a leading axis `" steps"`."""


def join_steps(recorded: list[Step]) -> Steps:
    """The steps of several recordings in one, without the rejected proposals."""
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), *recorded)
    taken = joined.num_iterations > 0
    return jax.tree.map(lambda x: x[taken], joined)


def reorder_steps(steps: Steps, order: Int[np.ndarray, " requests"]) -> Steps:
    """The steps with requests as the workload numbers them; `order` sorts the workload."""
    place = np.argsort(order)

    def by_request(tree):
        return jax.tree.map(lambda x: np.asarray(x)[:, place], tree)

    return eqx.tree_at(
        lambda s: (s.batch, s.player, s.finished),
        steps,
        (by_request(steps.batch), by_request(steps.player), by_request(steps.finished)),
    )
