"""The table of distances: what it holds, and what happens without the trace."""

import sys

import numpy as np
import pyarrow.csv as pa_csv
import pytest

import carbjax as cj
from experiments import distances


@pytest.mark.slow
def test_the_truth_is_at_no_distance_from_itself(shared_data, monkeypatch, tmp_path):
    monkeypatch.setenv("CARBJAX_DATA", str(shared_data))
    trace = cj.read_trace(distances.trace_path(), tz="UTC")
    policies = ("chunked_prefill",)
    rows = distances.measure(trace, 1, sizes=(4,), policies=policies)
    csv, *images = distances.write(rows, tmp_path / "new")
    written = pa_csv.read_csv(csv)
    assert tuple(written.column_names) == distances.Distance._fields
    methods = cj.methods().keys() - set(distances.OMITTED)
    assert len(written) == len(methods) * len(distances.LOADS)
    distance, replay_distance, method, load = (
        written[name].to_numpy()
        for name in ("distance", "replay_distance", "method", "load")
    )
    assert (distance[method == distances.TRUTH] == 0).all()
    exact = np.isin(method, (distances.TRUTH, "sampled"))  # of four, both are
    assert (distance[exact] == 0).all()
    for name in ("streaming", "tokens", "leave_one_out"):
        assert (distance[(method == name) & (load == "at once")] > 0).all()
    assert (replay_distance[method == "streaming"] < 0.01).all()
    assert all(image.stat().st_size > 0 for image in images)


def test_compression_keeps_the_requests_and_their_order():
    workload = cj.Workload([5.0, 6.0, 9.0], [10, 20, 30], [1, 2, 3])
    faster = distances.compress(workload, 10.0)
    np.testing.assert_allclose(faster.arrival_s, [0.0, 0.1, 0.4])
    assert not distances.compress(workload, np.inf).arrival_s.any()
    np.testing.assert_array_equal(faster.num_prefill_tokens, workload.num_prefill_tokens)
    np.testing.assert_array_equal(faster.num_decode_tokens, workload.num_decode_tokens)


def test_without_the_trace_it_says_where_it_looked(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CARBJAX_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["distances.py"])
    with pytest.raises(SystemExit) as stopped:
        distances.main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert str(tmp_path) in message and "CARBJAX_DATA" in message
