# %% [markdown]
# # Your own trace
#
# From a log of a gateway to a bill by tenant. The page is a script,
# `docs/tutorials/own_trace.py`: it runs as it stands, and the tests hold what it prints
# to what is said here. What any file must look like: [traces](../traces.md).
#
# A trace needs when each request came, and how many tokens its prompt and its answer had.
# Here is such a log, as it came, with columns of its own names.

# %%
import csv

import jax

import carbjax as cj

jax.config.update("jax_enable_x64", True)  # 64 bits, as the command line computes

LOG = """id,key,received_at,in,out
r1,search-a,2024-05-01T09:00:00.000,820,40
r2,tutor,2024-05-01T09:00:00.150,150,310
r3,search-b,2024-05-01T09:00:00.600,1400,25
r4,tutor,2024-05-01T09:00:00.900,90,220
r5,search-a,2024-05-01T09:00:01.200,760,35
r6,mail,2024-05-01T09:00:01.300,2300,180
"""
with open("log.csv", "w") as file:
    file.write(LOG)

try:
    cj.read_trace("log.csv")
except cj.TraceError as error:
    print(error)

# %% [prints]
# log.csv: this is no trace that carbjax knows; its columns are id, key,
# received_at, in, out. Known are azure (TIMESTAMP, ContextTokens, GeneratedTokens);
# mooncake (timestamp, input_length, output_length); carbjax (arrival,
# prompt_tokens, decode_tokens); burstgpt (Timestamp, Request tokens, Response
# tokens); and JSON documents: vllm_bench, otel.

# %% [markdown]
# carbjax does not guess which column is which. Write the file with the names that it
# knows: `request_id, tenant_id, arrival, prompt_tokens, decode_tokens`. The first two may
# be left out.

# %%
NAMES = {
    "id": "request_id",
    "received_at": "arrival",
    "in": "prompt_tokens",
    "out": "decode_tokens",
}


def write_trace(path):
    """The log, with carbjax's names of columns and without the API keys."""
    rows = list(csv.DictReader(LOG.splitlines()))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(NAMES.values()))
        writer.writeheader()
        writer.writerows({new: row[old] for old, new in NAMES.items()} for row in rows)


write_trace("trace.csv")
try:
    cj.read_trace("trace.csv")
except cj.TraceError as error:
    print(error)

# %% [prints]
# trace.csv, row 2, column 'arrival': the time stamp 2024-05-01T09:00:00.000 has no
# time zone. Say in which zone it was taken: `--tz UTC`, or tz="UTC" in Python.

# %% [markdown]
# The stamps carry no zone, so they do not say when it was. The zone decides which hour's
# electricity counts: give it.

# %%
workload = cj.read_trace("trace.csv", tz="Europe/Berlin")
print(workload.num_requests, "requests,", workload.num_players, "players")

# %% [prints]
# 6 requests, 6 players

# %% [markdown]
# ## Who pays
#
# Without tenants each request is a player. Several keys may belong to one tenant: a map
# from request to tenant says so (a dictionary, a function, or the path of a CSV with
# `request_id,tenant_id`).

# %%
tenant_of_key = {"search-a": "search", "search-b": "search"}
keys = {row["id"]: row["key"] for row in csv.DictReader(LOG.splitlines())}
workload = cj.read_trace(
    "trace.csv",
    tz="Europe/Berlin",
    tenant=lambda request: tenant_of_key.get(keys[request], keys[request]),
)
print(workload.player_names)

# %% [prints]
# ('search', 'tutor', 'mail')

# %% [markdown]
# ## The system
#
# One GPU of a kind, one model, a scheduler with its caps, a grid. A series of intensity
# has a time stamp and a value in gCO2e/kWh in each row; here are three hours.

# %%
with open("grid.csv", "w") as file:
    file.write("time_utc,intensity\n")
    for hour, intensity in ((6, 410), (7, 350), (8, 320)):
        file.write(f"2024-05-01T{hour:02}:00:00Z,{intensity}\n")

system = cj.System.load(
    accelerator="h100-sxm",
    model="llama-3.1-8b",
    carbon_intensity=cj.read_intensity("grid.csv", kind="lca"),
    pue=1.2,
)

# %% [markdown]
# ## The bill
#
# Three players make 2³ coalitions: the Shapley value itself is quick to have.
# `method="streaming"` is for traces of any length, and comes near it. What the machine
# emits with nobody served stays with nobody, until a rule spreads it.

# %%
bill = cj.attribute(workload, system, method="shapley")
for tenant, share in zip(workload.player_names, bill.shares):
    print(f"{tenant:6} {share:.4f} g")
print(f"nobody {bill.unattributed:.4f} g: idle, host and embodied")
print(f"total  {bill.total:.4f} g; closes: {abs(bill.residual) < 1e-12}")

# %% [prints]
# search 0.0209 g
# tutor  0.0646 g
# mail   0.0335 g
# nobody 0.0885 g: idle, host and embodied
# total  0.2075 g; closes: True

# %% [markdown]
# Spread by use, nothing is left over. The same as a table, a row a tenant, for a
# database:

# %%
spread = cj.attribute(workload, system, method="shapley", idle="usage")
print(spread.shares.round(4))
table = cj.ledger_table(spread, workload)
cj.write_ledger(table, "bill.csv")
print(*table.column_names, sep=", ")

# %% [prints]
# [0.0365 0.1127 0.0584]
# request_id, tenant_id, method, prompt_tokens, decode_tokens, energy_j,
# operational_gco2e, embodied_gco2e, stderr_gco2e, flags

# %% [markdown]
# On the command line, with the tenants in a file:
#
# ```
# carbjax validate trace.csv --tz Europe/Berlin
# carbjax attribute trace.csv --tz Europe/Berlin --players tenant --tenants tenants.csv \
#     --accelerator h100-sxm --intensity grid.csv --pue 1.2 --out bill.parquet
# ```
#
# Next: [which method](../choose.md); a [ledger](../ledger.md) where the trace is a
# fleet's; the [logs of a real server](../logs.md) where you have its iterations and its
# meter.
