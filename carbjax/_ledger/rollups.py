"""Sums of a ledger's requests by tenant, by hour and by backend, kept as they come."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

KEYS = {"tenant": "tenant_id", "hour": "hour", "backend": "backend"}
"""Roll-ups and the column that each goes by."""
SUMS = (
    "requests",
    "prompt_tokens",
    "decode_tokens",
    "energy_j",
    "prefill_gco2e",
    "decode_gco2e",
    "embodied_gco2e",
)


MARKET = "market_operational_gco2e"
"""Summed too, where it is asked for."""


def roll_up(rows: pa.Table, key: str) -> pa.Table:
    """Sums of `SUMS` by the column `key`, in order of first appearance."""
    names = [*SUMS, *({MARKET} & set(rows.column_names))]
    wanted = [(name, "sum") for name in names]
    found = rows.select([key, *names]).group_by(key, use_threads=False).aggregate(wanted)
    return found.rename_columns([name.removesuffix("_sum") for name in found.column_names])


def add_up(before: Mapping[str, pa.Table] | None, rows: pa.Table) -> dict[str, pa.Table]:
    """The roll-ups with these rows added."""
    ones = pa.array([1] * rows.num_rows, pa.int64())
    rows = rows.append_column("requests", ones)
    new = {name: roll_up(rows, key) for name, key in KEYS.items()}
    if before is None:
        return new
    return {name: merge([before[name], new[name]], KEYS[name]) for name in KEYS}


def merge(tables: list[pa.Table], key: str) -> pa.Table:
    """One roll-up of several."""
    return roll_up(pa.concat_tables(tables), key)


def with_sci(table: pa.Table, key: str) -> pa.Table:
    """The roll-up in order of its key, with SCI's `(O + M) / R` by request and token.

    Operational O is prefill and decode, M is embodied; both of requests alone. With
    `MARKET` the same is told with its O. See the SCI specification of the Green Software
    Foundation.
    """
    table = table.sort_by(key)
    column = {name: table[name].to_numpy() for name in SUMS}
    operational = column["prefill_gco2e"] + column["decode_gco2e"]
    tokens = column["prompt_tokens"] + column["decode_tokens"]
    of = {"sci": operational}
    if MARKET in table.column_names:
        of["market_sci"] = table[MARKET].to_numpy()
    table = table.append_column("operational_gco2e", pa.array(operational))
    for name, grams in of.items():
        total = grams + column["embodied_gco2e"]
        for unit, count in (("request", column["requests"]), ("token", tokens)):
            table = table.append_column(f"{name}_gco2e_per_{unit}", _over(total, count))
    return table


def _over(total: np.ndarray, count: np.ndarray) -> pa.Array:
    """total / count, unknown where nothing is counted."""
    return pa.array(total / np.maximum(count, 1), mask=count == 0)
