# %% [markdown]
# # Your own profile
#
# A GPU that carbjax does not know, or knows from other people's measurements: fit its
# surrogate to yours. The page is a script, `docs/tutorials/own_profile.py`. The
# measurements in it are made up by a formula, so that what the fit finds can be compared
# with what was put in. `carbjax profile` measures real ones ([the
# profiler](../profiler.md)).
#
# ## The file
#
# A row is a call of an operator on one GPU: which operator, how long it took, in seconds,
# and its sizes. A product of matrices (`gemm`) multiplies `num_tokens` rows by a weight
# matrix of `k` rows and `n` columns.

# %%
import csv

import jax
import numpy as np

import carbjax as cj

jax.config.update("jax_enable_x64", True)

SHAPES = ((6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336), (8192, 8192))


def measured_s(num_tokens, n, k):
    """Seconds of a product: a launch, activations, and weights or FLOPs."""
    weights, flops = 2 * n * k / 2.4e12, 2 * num_tokens * n * k / 4.2e14
    return 5e-6 + 2 * num_tokens * (n + k) / 4.8e12 + np.hypot(weights, flops)


noise = np.random.default_rng(0)
with open("profile.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["operator", "latency_s", "num_tokens", "n", "k", "source"])
    for n, k in SHAPES:
        for num_tokens in 2 ** np.arange(14):
            latency = measured_s(num_tokens, n, k) * np.exp(0.02 * noise.normal())
            writer.writerow(["gemm", f"{latency:.4g}", num_tokens, n, k, "my cluster"])

profile = cj.read_profile("profile.csv")
print(len(profile), "calls of", *set(profile.operator))

# %% [prints]
# 70 calls of gemm

# %% [markdown]
# Other operators need other sizes, and `power_w` or `energy_j` may stand beside them: [all
# columns](../profiler.md#columns-of-a-profile). The reader refuses what has a wrong unit,
# and says which:

# %%
with open("profile.csv") as file:
    rows = list(csv.reader(file))
with open("in_ms.csv", "w", newline="") as file:
    csv.writer(file).writerows(
        [rows[0], *([row[0], float(row[1]) * 1e3, *row[2:]] for row in rows[1:])]
    )
try:
    cj.read_profile("in_ms.csv")
except cj.ProfileError as error:
    print(error)

# %% [prints]
# in_ms.csv, column 'latency_s': the latencies of gemm are about 681 times too long
# for their FLOPs and bytes; it looks like ms, not s. Give s.

# %% [markdown]
# ## The fit
#
# What the profile lacks (attention, host, gaps between kernels, power) is taken from
# `base`, a shipped fit. The remarks say what that was: it is as far from your GPU as
# `base` is.

# %%
surrogate = cj.fit_profile(profile, accelerator="h100-sxm", base="h100-sxm")
print(*surrogate.record["remarks"], sep="\n")

# %% [prints]
# not in the profile, taken from h100-sxm: gemm_fp8, prefill_attention,
# decode_attention, shared_kernel, elementwise, sampler, all_reduce, host, gaps
# power not measured, taken from h100-sxm: gemm, prefill_attention,
# decode_attention, elementwise, all_reduce

# %% [markdown]
# Errors, in percent, are of rows that the fit in question did not see: sizes between
# those seen, the largest sizes, and shapes of which none was seen. The noise that was put
# in is 2%, whose mean size is 1.6%.

# %%
for split, errors in surrogate.errors.items():
    print(f"{split}: mean {errors['mape']:.1f}, 95th percentile {errors['p95']:.0f}")

# %% [prints]
# gemm latency, interpolation: mean 1.5, 95th percentile 3
# gemm latency, extrapolation: mean 5.8, 95th percentile 10
# gemm latency, unseen shapes: mean 1.4, 95th percentile 3

# %% [markdown]
# The largest sizes, where the fit has not seen them, come out 6% too fast. Measure the
# sizes that you will serve.
#
# ## Using it
#
# The made-up GPU has slower memory and FLOPs than an H100. Products take longer in the
# batches of a server, all else is as before.

# %%
surrogate.save("mine.json")
shipped = cj.System.load("h100-sxm", "llama-3.1-8b")
mine = cj.System.load("h100-sxm", "llama-3.1-8b", surrogate="mine.json")

requests, context = 16.0, 1000.0
batch = cj.BatchFeatures(
    num_tokens=requests,
    num_sequences=requests,
    prefill_pairs=0.0,
    prefill_kv=0.0,
    decode_tokens=requests,
    decode_kv=requests * context,
    decode_kv_sq=requests * context**2,
)
for name in ("gate_up_projection", "decode_attention"):
    before, after = (s.operator_costs(batch)[name][0] for s in (shipped, mine))
    print(f"{name}: {before * 1e3:.2f} ms, now {after * 1e3:.2f} ms")

# %% [prints]
# gate_up_projection: 2.73 ms, now 3.30 ms
# decode_attention: 0.98 ms, now 0.98 ms

# %%
workload = cj.Workload([0.0, 0.1, 0.2], [900, 200, 3000], [60, 200, 20])
for system in (shipped, mine):
    print(f"{cj.serve(workload, system).energy_j:.0f} J")

# %% [prints]
# 735 J
# 814 J

# %% [markdown]
# On the command line:
#
# ```
# carbjax fit profile.csv --accelerator h100-sxm --base h100-sxm --out mine.json
# carbjax attribute sample --accelerator h100-sxm --surrogate mine.json
# ```
#
# What a fit is and how wrong the shipped ones are: [the surrogate](../surrogate.md). A
# GPU that is not in the list: `cj.Accelerator(...)` with its powers, memory and embodied
# carbon ([reference](../reference/systems.md)).
