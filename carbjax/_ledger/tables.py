"""What a ledger says of all its requests: roll-ups, idle machines, totals, notes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from carbjax._ledger.closing import RunningSum, require_closed
from carbjax._ledger.group import CLOSED, Group, GroupResult
from carbjax._ledger.rollups import KEYS, merge, with_sci
from carbjax._ledger.standing import standing_rows
from carbjax._serving.system import System
from carbjax._units import JOULES_PER_KWH
from carbjax._workload import Workload

MARKET = "market_operational_gco2e"


def summary(
    groups: Sequence[Group], results: Sequence[GroupResult]
) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """The tables of sums by name, and what the manifest says of them.

    Raises `ClosureError` where they do not add up to what was emitted.
    """
    market = groups[0].market_intensity
    rollups = {
        name: merge([result.rollups[name] for result in results], key)
        for name, key in KEYS.items()
    }
    idle = standing_rows(groups, results)
    totals = _totals(rollups["backend"], idle, results, market)
    tables = {f"by_{name}": with_sci(rollups[name], KEYS[name]) for name in KEYS}
    tables["by_tenant"] = _with_idle_share(tables["by_tenant"], totals["idle"]["gco2e"])
    tables = {
        name: _with_market(t, market) for name, t in (tables | {"idle": idle}).items()
    }
    num_requests = sum(result.num_requests for result in results)
    rows = {name: table.num_rows for name, table in tables.items()}
    facts = {
        "requests": num_requests,
        "rows": {"requests": num_requests} | rows,
        "totals": totals,
        "residual": {n: _sum(r.residual[n] for r in results) for n in CLOSED},
        "flags": list(_flags(groups[0].system, results)),
    }
    return tables, facts


def _totals(
    by_backend: pa.Table,
    idle: pa.Table,
    results: Sequence[GroupResult],
    market: float | None,
) -> dict[str, dict[str, float]]:
    """Requests, idle, unattributed and all; the requests' against what was emitted."""

    def of(table: pa.Table, name: str) -> float:
        return _sum(table[name].to_pylist())

    requests = {
        "energy_j": of(by_backend, "energy_j"),
        "operational_gco2e": of(by_backend, "prefill_gco2e")
        + of(by_backend, "decode_gco2e"),
        "embodied_gco2e": of(by_backend, "embodied_gco2e"),
    }
    emitted = {name: _sum(result.totals[name] for result in results) for name in CLOSED}
    require_closed(requests, emitted, "the whole ledger")
    standing = {
        "energy_j": of(idle, "energy_j"),
        "operational_gco2e": of(idle, "idle_gco2e"),
        "embodied_gco2e": of(idle, "embodied_gco2e"),
    }
    nothing = dict.fromkeys(standing, 0.0)
    total = {name: emitted[name] + standing[name] for name in CLOSED}
    parts = {"requests": requests, "idle": standing, "unattributed": nothing}
    parts["total"] = total
    for part in parts.values():
        part["gco2e"] = part["operational_gco2e"] + part["embodied_gco2e"]
        if market is not None:
            part[MARKET] = part["energy_j"] * market / JOULES_PER_KWH
    return parts


def _with_idle_share(by_tenant: pa.Table, idle_g: float) -> pa.Table:
    """What each tenant would carry of the idle machines by its use of the busy ones."""
    names = "operational_gco2e", "embodied_gco2e"
    operational, embodied = (by_tenant[name].to_numpy() for name in names)
    used = np.maximum(operational + embodied, 0.0)
    whole = used.sum()
    share = used * (idle_g / whole) if whole > 0 else np.full(len(used), np.nan)
    column = pa.array(share, mask=np.isnan(share))
    return by_tenant.append_column("idle_by_usage_gco2e", column)


def _with_market(table: pa.Table, market: float | None) -> pa.Table:
    if market is None:
        return table
    grams = table["energy_j"].to_numpy() * (market / JOULES_PER_KWH)
    return table.append_column(MARKET, pa.array(grams))


def _flags(system: System, results: Sequence[GroupResult]) -> tuple[str, ...]:
    """What a reader must know: an intensity that was filled in, a surrogate far out."""
    prompt = max(result.longest_prompt for result in results)
    context = max(result.longest_context for result in results)
    count = min(sum(result.num_requests for result in results), system.max_num_seqs)
    extreme = Workload(
        np.zeros(count), np.full(count, prompt), np.full(count, context - prompt)
    )
    return system.flags(extreme)


def _sum(values: Iterable[float]) -> float:
    total = RunningSum()
    for value in values:
        total.add(value)
    return total.value
