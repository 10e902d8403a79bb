"""What a ledger says of all its requests: roll-ups, idle machines, totals, notes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from carbjax._errors import CarbjaxError
from carbjax._ledger.backends import TableBackend
from carbjax._ledger.closing import RunningSum, require_closed
from carbjax._ledger.group import Group, GroupResult
from carbjax._ledger.rollups import KEYS, MARKET, merge, roll_up, with_sci
from carbjax._ledger.standing import standing_rows
from carbjax._serving.system import System
from carbjax._workload import Workload


def summary(
    groups: Sequence[Group], results: Sequence[GroupResult]
) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """The tables of sums by name, and what the manifest says of them.

    Raises `ClosureError` where they do not add up to what was emitted.
    """
    rollups = {
        name: merge([result.rollups[name] for result in results], key)
        for name, key in KEYS.items()
    }
    rollups["backend"] = _with_model(rollups["backend"], groups)
    rollups["model"] = roll_up(rollups["backend"], "model")
    idle = standing_rows(groups, results)
    totals = _totals(rollups["backend"], idle, groups, results)
    keys = KEYS | {"model": "model"}
    tables = {f"by_{name}": with_sci(table, keys[name]) for name, table in rollups.items()}
    tables["by_tenant"] = _with_idle_share(tables["by_tenant"], totals["idle"]["gco2e"])
    tables["idle"] = idle
    num_requests = sum(result.num_requests for result in results)
    num_rejected = sum(result.num_rejected for result in results)
    rows = {"requests": num_requests, "rejects": num_rejected}
    facts = {
        "requests": num_requests,
        "rows_read": sum(b.num_requests for group in groups for b in group.backends),
        "rows": rows | {name: table.num_rows for name, table in tables.items()},
        "totals": totals,
        "residual": {
            name: _sum(result.residual[name] for result in results)
            for name in groups[0].closed
        },
        "flags": list(_flags(groups, results)),
    }
    _require_all_rows(facts)
    return tables, facts


def _require_all_rows(facts: dict[str, Any]) -> None:
    """Each row that was read is a request or a reject."""
    read, rows = facts["rows_read"], facts["rows"]
    if read != rows["requests"] + rows["rejects"]:
        raise CarbjaxError(
            f"{read} rows were read, {rows['requests']} are requests and "
            f"{rows['rejects']} rejects. This is a mistake in carbjax."
        )


def _with_model(by_backend: pa.Table, groups: Sequence[Group]) -> pa.Table:
    served = {b.name: group.model for group in groups for b in group.backends}
    models = [served[name] for name in by_backend["backend"].to_pylist()]
    return by_backend.add_column(1, "model", pa.array(models, pa.string()))


def _totals(
    by_backend: pa.Table,
    idle: pa.Table,
    groups: Sequence[Group],
    results: Sequence[GroupResult],
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
    names = groups[0].closed
    emitted = {name: _sum(result.totals[name] for result in results) for name in names}
    standing = {
        "energy_j": of(idle, "energy_j"),
        "operational_gco2e": of(idle, "idle_gco2e"),
        "embodied_gco2e": of(idle, "embodied_gco2e"),
    }
    if groups[0].market is not None:
        requests[MARKET], standing[MARKET] = of(by_backend, MARKET), of(idle, MARKET)
        emitted.setdefault(MARKET, requests[MARKET])
    require_closed(requests, emitted, "the whole ledger")
    nothing = dict.fromkeys(standing, 0.0)
    total = {name: emitted[name] + standing[name] for name in emitted}
    parts = {"requests": requests, "idle": standing, "unattributed": nothing}
    parts["total"] = total
    for part in parts.values():
        part["gco2e"] = part["operational_gco2e"] + part["embodied_gco2e"]
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


def _flags(groups: Sequence[Group], results: Sequence[GroupResult]) -> list[str]:
    """What a reader must know: an intensity filled in, a surrogate far out, odd traces."""
    systems = {group.model: group.system for group in groups}
    flags = []
    for model, system in systems.items():
        mine = [r for g, r in zip(groups, results, strict=True) if g.model == model]
        if not any(result.num_requests for result in mine):
            continue
        found = system.flags(_extremes(mine, system))
        flags += [f"{model}: {flag}" for flag in found] if len(systems) > 1 else found
    market = groups[0].market
    if market is not None:
        flags += [f"market intensity: {flag}" for flag in market.flags]
    texts = (b for g in groups for b in g.backends if isinstance(b, TableBackend))
    flags += [note.removesuffix(".") for text in texts for note in text.notes]
    return list(dict.fromkeys(flags))


def _extremes(results: Sequence[GroupResult], system: System) -> Workload:
    """Requests as long as the longest that came."""
    prompt = max(result.longest_prompt for result in results)
    context = max(result.longest_context for result in results)
    count = min(sum(result.num_requests for result in results), system.max_num_seqs)
    return Workload(
        np.zeros(count), np.full(count, prompt), np.full(count, context - prompt)
    )


def _sum(values: Iterable[float]) -> float:
    total = RunningSum()
    for value in values:
        total.add(value)
    return total.value
