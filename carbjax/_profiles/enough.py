"""Are there rows enough to fit an operator?"""

import numpy as np

from carbjax._errors import ProfileError
from carbjax._profiles.profile import Profile

FEWEST_ROWS = 6
FEWEST_SIZES = 3
AXES = {
    "gemm": "num_tokens",
    "prefill_attention": "prefill_tokens",
    "decode_attention": "decode_kv",
    "mixed_attention": "decode_kv",
    "all_reduce": "message_bytes",
    "elementwise": "num_tokens",
    "sampler": "num_tokens",
    "moe": "num_tokens",
    "layer": "num_tokens",
}
"""The size of each operator that a fit needs several of."""


def require_enough(
    profile: Profile,
    operator: str,
    *,
    fewest_rows: int = FEWEST_ROWS,
    fewest_sizes: int = FEWEST_SIZES,
) -> Profile:
    """The rows of an operator that count (`weight` above 0), if they can carry a fit.

    Raises `ProfileError` where there are none, too few, or too few different sizes.
    """
    rows = profile.of_operator(operator)
    counted = rows.select(rows.weight > 0)
    if len(counted) < fewest_rows:
        known = ", ".join(sorted(set(profile.operator.tolist()))) or "none"
        spare = f" ({len(rows) - len(counted)} more have weight 0)"
        raise ProfileError(
            f"the profile has {len(counted)} rows of {operator} that count"
            f"{spare if len(rows) > len(counted) else ''}, and a fit needs {fewest_rows}.",
            hint=f"Its operators: {known}. Measure more, or leave {operator} out.",
        )
    if operator not in AXES:
        return counted
    distinct = np.unique(getattr(counted, AXES[operator]))
    if len(distinct) < fewest_sizes:
        shown = ", ".join(f"{v:g}" for v in distinct)
        raise ProfileError(
            f"{operator} was measured at {len(distinct)} sizes of {AXES[operator]} "
            f"({shown}), and a fit needs {fewest_sizes}.",
            hint="Measure sizes from the smallest to the largest that a server runs.",
        )
    return counted
