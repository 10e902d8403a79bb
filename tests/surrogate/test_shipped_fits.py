"""The shipped numbers do what their files claim, measured again from the shared data."""

import jax.numpy as jnp
import numpy as np
import pytest

import carbjax._hardware.tables as tables
from carbjax._fitting import calibrate as cal
from carbjax._fitting.attention_fit import decode_work, predict, prefill_work
from carbjax._fitting.attention_record import attention_profiles
from carbjax._fitting.dense_record import JUDGED_OFFSET, gemms
from carbjax._fitting.report import errors
from carbjax._fitting.rtx_profile import RTX
from carbjax._fitting.serving_runs import iteration_batches, read_serving_runs
from carbjax._fitting.splits import held_out_lines, unseen_shapes
from carbjax._fitting.system_fit import systems
from carbjax._profiles.read import read_profile
from carbjax._surrogate.features import BatchFeatures
from carbjax._surrogate.parameter_files import (
    available_accelerators,
    fitted_power,
    load_fit,
    load_record,
)
from carbjax._surrogate.specialise import load_cost

SLACK = 1.05  # the shipped fit saw the rows that its stated errors were held out on


def judged(predicted, rows, held_out, claim):
    """The stated error is of a fit that did not see these rows; the shipped one did."""
    error = errors(np.asarray(predicted)[held_out], rows.latency_s[held_out])
    assert error.rows == claim["rows"]
    assert error.mape <= SLACK * claim["mape"]
    assert error.p95 <= SLACK * claim["p95"]


@pytest.mark.parametrize("name", sorted(systems()))
def test_gemm_errors_are_no_larger_than_stated(shared_data, name):
    rows = gemms(systems()[name], shared_data)
    predicted = load_fit(name).gemm.latency(
        rows.num_tokens, rows.n, rows.k, rows.bytes_per_weight
    )
    ((_, held_out),) = unseen_shapes(rows.n, rows.k, offset=JUDGED_OFFSET).folds
    claim = load_record(name)["errors"]["gemm latency, unseen shapes"]
    judged(predicted, rows, held_out, claim)


@pytest.mark.parametrize("name", sorted(set(systems()) - {RTX.name}))
def test_attention_errors_are_no_larger_than_stated(shared_data, name):
    fit, stated = load_fit(name), load_record(name)["errors"]
    prefill, decode = attention_profiles(systems()[name], shared_data)
    prompt = np.round(2 * prefill.prefill_pairs / prefill.prefill_kv - 1)
    context = decode.decode_kv / decode.decode_tokens
    judged(
        predict(fit.prefill, prefill_work(prefill)),
        prefill,
        held_out_lines(prompt).held_out,
        stated["prefill_attention latency"],
    )
    judged(
        predict(fit.decode, decode_work(decode)),
        decode,
        held_out_lines(context).held_out,
        stated["decode_attention latency"],
    )


@pytest.mark.parametrize("name", ["b200-sxm", "h100-sxm"])
def test_serving_errors_are_no_larger_than_stated(shared_data, name):
    runs = [run for run in read_serving_runs(shared_data / "ml_energy") if run.gpu == name]
    stated = load_record(name)["errors"]
    for label, error in cal.serving_errors(load_fit(name), runs, "seen").items():
        assert error["rows"] == stated[label]["rows"]
        assert error["mape"] <= SLACK * stated[label]["mape"], label


@pytest.mark.parametrize(
    "gpu, batch, allowed", [("h100-sxm", 32, 0.15), ("b200-sxm", 32, 0.15),
                            ("h100-sxm", 512, 0.15), ("b200-sxm", 512, 0.5)]
)  # fmt: skip
def test_time_between_tokens_of_llama_8b(shared_data, gpu, batch, allowed):
    (run,) = (
        run
        for run in read_serving_runs(shared_data / "ml_energy")
        if run.gpu == gpu
        and run.model.name == "llama-3.1-8b"
        and batch - 2 < run.batch <= batch
    )
    batches = iteration_batches([run])
    latency, _ = load_cost(gpu, run.model, 1)(batches.decode)
    assert abs(float(latency[0]) / run.inter_token_s - 1) < allowed


def test_unseen_long_answers_cost_what_was_measured(shared_data):
    runs = [
        run
        for run in read_serving_runs(shared_data / "ml_energy", task="gpqa")
        if run.gpu == "h100-sxm"
    ]
    _, energy = cal.predict(load_fit("h100-sxm"), runs)
    ratio = np.asarray(energy) / np.array([run.energy_j for run in runs])
    assert len(runs) == 5 and np.all((ratio > 0.6) & (ratio < 1.6))


def test_energy_per_token_falls_with_the_batch_to_a_plausible_level():
    for name in available_accelerators():
        cost = load_cost(name, tables.model("llama-3.1-8b"), 1)
        batch = jnp.asarray([1.0, 8.0, 64.0, 256.0])
        zero, kv = jnp.zeros_like(batch), 500 * batch
        _, energy = cost(BatchFeatures(batch, batch, zero, zero, batch, kv, 500 * kv))
        per_token = energy / batch
        assert jnp.all(jnp.diff(per_token) < 0), name
        assert 1.0 < per_token[0] < 10.0 and 0.02 < per_token[-1] < 0.2, name


def test_records_say_where_they_come_from_and_stay_small():
    for name in available_accelerators():
        record = load_record(name)
        assert {"sources", "validity", "errors", "remarks", "fitted_on"} <= set(record)
        assert all("@" in source for source in record["sources"].values())
        powers = fitted_power(name)
        limit = systems()[name].max_power
        assert 0 < powers["idle_power"] < powers["active_idle_power"] < 0.5 * limit


def test_a_product_between_profiled_sizes_is_as_another_profile_says(shared_data):
    """28672 columns lie between 16384 and 65536; Vidur timed them on the same GPU."""
    path = shared_data / "vidur/compute/a100/meta-llama/Meta-Llama-3-8B/mlp.csv"
    rows = read_profile(path).of_operator("gemm")
    rows = rows.select((rows.n == 28672) & (rows.num_tokens <= 128))
    fitted = load_fit("a100-sxm").gemm.latency(rows.num_tokens, rows.n, rows.k)
    assert errors(np.asarray(fitted), rows.latency_s).p95 < 20
