# %% [markdown]
# # Your own method
#
# A rule for sharing carbon, judged beside carbjax's own. The page is a script,
# `docs/tutorials/own_method.py`.
#
# The rule here: who holds more of the KV cache for longer owes more, in proportion to
# tokens times seconds. It is what a cluster that bills for reserved memory would do.
#
# ## The function
#
# A method takes a game, or a workload and a system, and returns an `Attribution`: what
# each player is charged, what nobody is charged for, and the whole, each by component
# (prefill, decode, idle, embodied).

# %%
import jax
import numpy as np

import carbjax as cj

jax.config.update("jax_enable_x64", True)


def cache_seconds(game, *, workload=None, system=None, timeline=None, key=None):
    """Shares in proportion to tokens in the KV cache times seconds on the server."""
    timeline = timeline or cj.serve(workload, system)
    tokens = workload.num_prefill_tokens + workload.num_decode_tokens
    weights = np.bincount(
        workload.player,
        weights=tokens * timeline.residence_s,
        minlength=workload.num_players,
    )
    nobody, whole = timeline.standing, timeline.emissions
    shares = (whole - nobody).scale(weights / weights.sum())
    return cj.Attribution("cache_seconds", shares, nobody, whole)


# %% [markdown]
# `timeline` is the run with everybody, where somebody has served it already; `standing`
# is what the machine emits with nobody served. A method that asks what coalitions would
# have emitted uses `game` and leaves `needs_game` at its default.

# %%
cj.register_method(
    "cache_seconds",
    cache_seconds,
    needs_game=False,
    claims=("efficiency", "null_player"),
)
cj.check_claims("cache_seconds")  # raises where a claim does not hold
print("cache_seconds" in cj.methods())

# %% [prints]
# True

# %% [markdown]
# ## How far it is from the Shapley value
#
# On a small workload, beside two methods that carbjax has:

# %%
workload = cj.Workload(
    arrival_s=[0.0, 0.1, 0.3, 0.4, 0.8, 1.0],
    num_prefill_tokens=[900, 200, 3000, 80, 1500, 400],
    num_decode_tokens=[60, 200, 20, 90, 70, 150],
)
system = cj.System.load("h100-sxm", "llama-3.1-8b", carbon_intensity=400.0)
truth = cj.attribute(workload, system, method="shapley")
for method in ("cache_seconds", "time", "tokens"):
    found = cj.attribute(workload, system, method=method)
    distance = cj.shapley_distance(found, truth)
    print(f"{method:13} {distance.relative:.0%}")

# %% [prints]
# cache_seconds 65%
# time          22%
# tokens        112%

# %% [markdown]
# Long prompts hold much of the cache, and cost little: the rule charges them too much.
# One workload is no judgement. What a user gains by a shorter answer is
# `cj.reduction_reward(workload, system, "cache_seconds")`.

# %% [markdown]
# ## The whole judgement
#
# `carbjax evaluate` runs the function and the call of `register_method` from a file of
# yours, and judges all methods by all criteria on the same workloads:
#
# ```
# [evaluation]
# methods = ["cache_seconds", "streaming", "tokens"]
# method_files = ["own_method.py"]
# [workloads]
# trace = "sample"
# count = 4
# requests = 8
# [output]
# out = "results"
# ```
#
# then `carbjax report results`. What the criteria are: [criteria](../criteria.md),
# [incentives](../incentives.md); all keys: [an evaluation](../evaluation.md).
