"""ServeGen's clients as workloads: rates, gaps and lengths as their files say."""

import ast
import gzip
import json
import math

import numpy as np
import pytest
from scipy import stats

from carbjax._errors import TraceError
from carbjax._traces import servegen
from carbjax._traces.servegen import ServeGen, servegen_workload

WINDOW = 600


def write_client(folder, number, windows, lengths=None):
    """`windows`: rate, pattern and shape of each; lengths by start, prompt and answer."""
    folder.mkdir(exist_ok=True)
    lines = []
    for i, (rate, pattern, shape) in enumerate(windows):
        mean = shape if pattern == "Gamma" else math.gamma(1 + 1 / shape)
        lines.append(
            f"{WINDOW * i},{rate},1.0,{pattern},{shape},{1 / max(rate, 1) / mean}\n"
        )
    (folder / f"chunk-{number}-trace.csv").write_text("".join(lines))
    lengths = lengths or {0: ({10: 0.25, 20: 0.75}, {3: 1.0})}
    periods = {
        str(start): {"input_tokens": str(p), "output_tokens": str(d)}
        for start, (p, d) in lengths.items()
    }
    (folder / f"chunk-{number}-dataset.json").write_text(json.dumps(periods))
    return folder


def all_of(source, number, size=2**20):
    parts = list(source.chunks(number, size))
    assert all(len(part.tenant) == size for part in parts[:-1])
    return servegen._joined(parts)


@pytest.fixture
def two(tmp_path):
    write_client(tmp_path, 7, [(2.0, "Gamma", 0.5), (0, "", 1), (6.0, "Weibull", 0.7)])
    return write_client(tmp_path, 12, [(1.0, "Weibull", 2.0)] * 3)


def test_requests_come_in_order_and_in_any_chunks(two):
    whole = all_of(ServeGen(two, tenants=5, seed=3), 5000)
    parts = all_of(ServeGen(two, tenants=5, seed=3), 5000, 777)
    longer = all_of(ServeGen(two, tenants=5, seed=3), 9000)
    for a, b, c in zip(whole, parts, longer, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c[:5000])
    assert (np.diff(whole.arrival_s) >= 0).all() and whole.arrival_s[0] >= 0
    other = all_of(ServeGen(two, tenants=5, seed=4), 5000)
    assert not np.array_equal(whole.arrival_s, other.arrival_s)


@pytest.mark.parametrize("block", [2**18, 500])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_rates_are_those_of_the_windows(two, monkeypatch, block, scale):
    """Whether windows are drawn many at a time or in parts."""
    monkeypatch.setattr(servegen, "_BLOCK", block)
    drawn = all_of(ServeGen(two, 20, scale), 100_000)
    cycles = drawn.arrival_s[-1] // (3 * WINDOW)
    inside = drawn.arrival_s < cycles * 3 * WINDOW
    window = (drawn.arrival_s[inside] // WINDOW % 3).astype(int)
    found = np.zeros((2, 3))
    np.add.at(found, (drawn.tenant[inside] % 2, window), 1)
    expected = np.array([[2, 0, 6], [1, 1, 1]]) * scale * WINDOW * cycles * 10
    # Gamma gaps of shape 1/2 have counts of variance 2 / shape of a Poisson's.
    assert (np.abs(found - expected) <= 5 * np.sqrt(3 * expected)).all()


@pytest.mark.parametrize("pattern, shape", [("Gamma", 0.4), ("Gamma", 3), ("Weibull", 0.6)])
def test_gaps_have_the_distribution_of_the_window(tmp_path, pattern, shape):
    write_client(tmp_path, 1, [(20.0, pattern, shape)] * 2)
    drawn = all_of(ServeGen(tmp_path), 12_000)
    gaps = np.diff(drawn.arrival_s[:11_000])
    scale = 1 / 20 / (shape if pattern == "Gamma" else math.gamma(1 + 1 / shape))
    law = stats.gamma(shape, scale=scale)
    if pattern == "Weibull":
        law = stats.weibull_min(shape, scale=scale)
    assert stats.kstest(gaps, law.cdf).pvalue > 1e-4


def test_the_first_wait_is_that_of_a_process_that_runs_for_ever(tmp_path):
    """Its mean is half the gap's, times one plus the squared variation."""
    write_client(tmp_path, 1, [(0.01, "Gamma", 0.25)] * 40)
    drawn = all_of(ServeGen(tmp_path, 2000), 60_000)
    whole = drawn.arrival_s < 600
    assert whole.sum() == pytest.approx(2000 * 6, rel=0.08)


def test_lengths_are_of_their_period_or_the_nearest(tmp_path):
    windows = [(5.0, "Gamma", 1.0)] * 12
    first, later = ({10: 0.25, 20: 0.75}, {3: 1.0}), ({500: 1.0}, {0: 0.5, 8: 0.5})
    write_client(tmp_path, 1, windows, {0: first, 1800: ({}, {}), 3600: later})
    drawn = all_of(ServeGen(tmp_path), 30_000)
    second = drawn.arrival_s % 7200
    early, late = second < 1800, second >= 3600
    assert np.mean(drawn.num_prefill_tokens[early] == 20) == pytest.approx(0.75, abs=0.03)
    assert set(drawn.num_decode_tokens[early]) == {3}
    assert set(drawn.num_prefill_tokens[late]) == {500}
    assert set(drawn.num_prefill_tokens[(second >= 1800) & (second < 2400)]) == {10, 20}
    assert set(drawn.num_prefill_tokens[(second >= 2400) & (second < 3600)]) == {500}


def test_tenants_are_players_by_name(two):
    workload = servegen_workload(two, 3000, tenants=4)
    assert workload.player_names == ("7", "12", "7#2", "12#2")
    assert (workload.num_requests, workload.num_players) == (3000, 4)
    assert servegen_workload(two, 1, tenants=4).num_players == 1


def test_files_may_be_named_and_packed(two, tmp_path):
    plain = servegen_workload([two / "chunk-7-trace.csv"], 500)
    for path in list(two.iterdir()):
        (two / (path.name + ".gz")).write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    packed = servegen_workload(str(two / "chunk-7-trace.csv.gz"), 500)
    np.testing.assert_array_equal(plain.arrival_s, packed.arrival_s)


GOOD = ({10: 1.0}, {3: 1.0})
BAD = {
    "rate": ("0,-1,1,Gamma,1,1\n", None, "row 1, column 'rate': '-1' is not"),
    "shape": ("0,1,1,Gamma,nan,1\n", None, "row 1, column 'shape': 'nan' is not"),
    "pattern": ("0,1,1,Poisson,1,1\n", None, "row 1, column 'pattern': 'Poisson' is no"),
    "ragged": ("0,1,1\n", None, "row 1: the line has 3 values, not 6"),
    "gap": ("0,1,1,Gamma,1,1\n600,0,0,,,\n1800,0,0,,,\n", None, "row 3: the windows do"),
    "late": ("600,1,1,Gamma,1,1\n1200,1,1,Gamma,1,1\n", None, "the windows do not"),
    "heavy": (
        "0,1,1,Weibull,0.01,1\n",
        None,
        "column 'shape': '0.01' is not a number from",
    ),
    "rare": ("0,1e-300,1,Gamma,1,1\n600,0,0,,,\n", None, "no client ever asks"),
    "silent": ("0,0,0,,,\n600,0,0,,,\n", None, "no client ever asks"),
    "sum": (None, ({10: 0.5}, {3: 1.0}), "'input_tokens of period 0': .* up to 0.5"),
    "negative": (None, ({10: 1.5, 20: -0.5}, {3: 1.0}), "probabilities add up to 1"),
    "length": (None, ({10.5: 1.0}, {3: 1.0}), "lengths are not whole tokens"),
    "words": (None, ("{ten: 1}", {3: 1.0}), "this is no distribution"),
    "empty": (None, ({}, {}), "no lengths in any period"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_client_files_are_refused_where_they_are_bad(tmp_path, case):
    trace, lengths, message = BAD[case]
    write_client(tmp_path, 1, [(5.0, "Gamma", 1.0)] * 2, {0: lengths or GOOD})
    if trace is not None:
        (tmp_path / "chunk-1-trace.csv").write_text(trace)
    with pytest.raises(TraceError, match=message):
        servegen_workload(tmp_path, 10)


def test_arguments_and_folders_that_cannot_be(two, tmp_path):
    with pytest.raises(TraceError, match="`tenants` is 0"):
        ServeGen(two, tenants=0)
    with pytest.raises(TraceError, match="`rate_scale` is nan"):
        ServeGen(two, rate_scale=math.nan)
    with pytest.raises(TraceError, match="`num_requests` is 0"):
        servegen_workload(two, 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TraceError, match="holds no client"):
        ServeGen(tmp_path / "empty")
    (two / "chunk-7-dataset.json").unlink()
    with pytest.raises(TraceError, match="chunk-7-dataset.json.gz: there is no such file"):
        ServeGen(two)


def test_the_published_clients(shared_data):
    """A client's mean lengths in its first period, read from its file word by word."""
    folder = shared_data / "servegen" / "m-small"
    source = ServeGen(folder, tenants=100)
    drawn = all_of(source, 50_000)
    assert source.tenant_names[0] == "12" and len(set(drawn.tenant)) > 50
    of_12 = drawn.tenant % 8 == 0
    first = json.loads(gzip.decompress((folder / "chunk-12-dataset.json.gz").read_bytes()))
    for name, found in zip(("input_tokens", "output_tokens"), drawn[1:3], strict=True):
        law = {int(k): p for k, p in ast.literal_eval(first["0"][name]).items()}
        mean = sum(k * p for k, p in law.items())
        error = math.sqrt(sum((k - mean) ** 2 * p for k, p in law.items()) / of_12.sum())
        assert found[of_12].mean() == pytest.approx(mean, abs=5 * error)
