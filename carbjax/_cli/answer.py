"""An outcome as plain data, for programs."""

import math
from typing import Any

import numpy as np

from carbjax._carbon.emissions import COMPONENTS
from carbjax._cli.pipeline import Outcome
from carbjax._ledger import player_labels
from carbjax._version import __version__

_TOP = 10


def answer(outcome: Outcome) -> dict[str, Any]:
    """Totals by component, the largest shares, and the settings; only plain values."""
    found, workload = outcome.attribution, outcome.workload
    return {
        "carbjax": __version__,
        "settings": outcome.settings.model_dump(mode="json", by_alias=True),
        "num_requests": workload.num_requests,
        "num_players": workload.num_players,
        "method": found.method,
        "total_gco2e": found.total,
        "attributed_gco2e": float(np.sum(found.shares)),
        "unattributed_gco2e": found.unattributed,
        "residual_gco2e": found.residual,
        "components_gco2e": {
            name: float(np.sum(found.components[name]))
            + found.unattributed_components[name]
            for name in COMPONENTS
        },
        "energy_j": float(np.sum(found.energy_j)) + found.unattributed_energy_j,
        "top": _top(outcome),
        "flags": list(found.flags),
        "notes": list(outcome.notes),
        "seconds": round(outcome.seconds, 3),
    }


def _top(outcome: Outcome) -> list[dict[str, Any]]:
    found = outcome.attribution
    labels = player_labels(outcome.workload)
    return [
        {
            "player": labels[i],
            "share_gco2e": float(found.shares[i]),
            "stderr_gco2e": None
            if found.stderr is None
            else _finite(float(found.stderr[i])),
        }
        for i in np.argsort(-found.shares, kind="stable")[:_TOP]
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
