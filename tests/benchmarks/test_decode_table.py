"""The table beside which the surrogate's decode attention is judged."""

import numpy as np

from benchmarks._decode_table import fit_decode_table
from carbjax._profiles.profile import Profile


def _measured(requests, contexts):
    """A profile of every pair, in waves of 27 requests."""
    b, k = (v.ravel() for v in np.meshgrid(requests, contexts, indexing="ij"))
    latency_s = 1e-5 + 1e-9 * np.ceil(b / 27) * 27 * k
    return Profile.of("decode_attention", latency_s, decode_tokens=b, decode_kv=b * k)


def _off(table, rows):
    return np.abs(table(rows) / rows.latency_s - 1).mean()


def test_the_table_keeps_steps_and_rises():
    rows = _measured(np.arange(1.0, 60.0), np.arange(64.0, 4096.0, 64.0))
    held_out = (rows.decode_kv / rows.decode_tokens / 64) % 2 == 0
    table = fit_decode_table(rows, ~held_out)
    assert _off(table, rows.select(held_out)) < 0.005
    assert np.all(np.diff(table.latency_s, axis=0) >= 0)
    assert np.all(np.diff(table.latency_s, axis=1) >= 0)
    assert _off(table, _measured([30.0], [8192.0])) < 0.01
