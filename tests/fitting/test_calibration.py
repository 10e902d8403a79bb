"""Calibration on serving runs: found again where known, judged where it is not."""

import dataclasses as dc

import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._fitting import calibration as cb
from carbjax._fitting.prompt_reuse import PromptTokens, share_repeated
from carbjax._fitting.serving_runs import ServingRun, iteration_batches, read_serving_runs
from carbjax._hardware import tables
from carbjax._surrogate.overheads import Host
from carbjax._surrogate.parameter_files import load_fit, load_record

LIMIT = 700.0
KNOWN = cb.Calibration(5e-3, 6e-5, 4e-5, 1.5e-10, 1.0, 0.24, 1.1, 1.3, 0.985)
MODELS = ("llama-3.1-8b", "qwen3-8b", "gemma-3-27b")


def made_up_runs(fit) -> list[ServingRun]:
    """Runs that take the times and energies of a known calibration."""
    runs = [
        ServingRun(tables.model(name), "h100-sxm", 1, batch, 400.0, 300.0, 1.0, 1.0, 1.0)
        for name in MODELS
        for batch in (4.0, 16.0, 64.0, 128.0, 256.0)
    ]
    rows = cb.measured(fit, runs)
    decode, mixed = cb.times_of(rows, vars(KNOWN))
    mean = decode + rows.mixed_share * (mixed - decode)
    power = cb.energy_of(rows, vars(KNOWN), LIMIT, mean) / mean
    columns = zip(runs, mean, decode, power, strict=True)
    return [
        dc.replace(r, iteration_s=float(t), inter_token_s=float(d), power_w=float(p))
        for r, t, d, p in columns
    ]


@pytest.fixture(scope="module")
def fit():
    return load_fit("h100-sxm")


def test_a_known_calibration_is_found_well_enough_for_a_model_left_out(fit):
    runs = made_up_runs(fit)
    unseen = [run for run in runs if run.model.name == "qwen3-8b"]
    found, _ = cb.calibrate(fit, [run for run in runs if run not in unseen], LIMIT)
    latency, energy = cb.predict(cb.apply(fit, found, LIMIT), unseen)
    assert np.allclose(latency, [run.iteration_s for run in unseen], rtol=0.03)
    assert np.allclose(energy, [run.energy_j for run in unseen], rtol=0.03)


def test_calibrated_engine_takes_the_time_and_energy_that_were_fitted(fit):
    runs = made_up_runs(fit)
    latency, energy = cb.predict(cb.apply(fit, KNOWN, LIMIT), runs)
    # The engine's curves are read off the operators at sixteen knots an octave.
    assert np.allclose(latency, [run.iteration_s for run in runs], rtol=1e-3)
    assert np.allclose(energy, [run.energy_j for run in runs], rtol=1e-3)


def test_runs_of_unprofiled_fp8_calibrate_nothing(fit):
    other, runs = dc.replace(fit, name="some-gpu"), made_up_runs(fit)
    fp8 = dc.replace(runs[0].model, bytes_per_weight=1.0)
    strange = dc.replace(runs[0], model=fp8, iteration_s=1e3)
    with_it, _ = cb.calibrate(other, [*runs, strange], LIMIT)
    assert vars(with_it) == vars(cb.calibrate(other, runs, LIMIT)[0])


def test_host_waits_for_the_longer_of_kernels_and_host():
    host = Host(2e-3, 1e-5, 100.0, overlaps=True)
    kernels, sequences = jnp.geomspace(1e-4, 1.0, 50), jnp.full(50, 100.0)
    together = kernels + host.latency(sequences, kernels)
    longer = jnp.maximum(kernels, 3e-3)
    assert (together >= longer).all() and (together <= 2**0.25 * longer * 1.000001).all()
    plain = Host(2e-3, 1e-5, 100.0).latency(sequences, kernels)
    assert np.allclose(plain, 3e-3)


def test_as_many_requests_begin_as_end():
    run = ServingRun(
        tables.model("qwen3-8b"), "h100-sxm", 1, 200.0, 500.0, 400.0, 1.0, 1.0, 1.0
    )
    decode, mixed, share = iteration_batches([run])
    begun = share * (mixed.num_sequences - decode.num_sequences)
    assert np.allclose(begun, run.batch / run.output_tokens)
    new = share * (mixed.num_tokens - decode.num_tokens) / begun
    assert np.allclose(new, PromptTokens.of_task(run.task).new)


@pytest.mark.parametrize(
    ("gpu", "batch", "share"),
    [("b200-sxm", 8.0, 0.0), ("b200-sxm", 1024.0, 1.0), ("h100-sxm", 512.0, 0.0)],
)
def test_repeated_prompts_are_cached_where_a_round_of_requests_fits(gpu, batch, share):
    prompt = PromptTokens.of_task("lm-arena-chat")
    model, accelerator = tables.model("llama-3.1-8b"), tables.accelerator(gpu)
    assert share_repeated(model, accelerator, 1, batch, 390.0, prompt) == share


@pytest.mark.parametrize("name", ["h100-sxm", "b200-sxm"])
def test_models_that_no_calibration_saw_are_predicted(name):
    errors = load_record(name)["errors"]["serving energy per token, model left out"]
    assert errors["median"] <= 12 and errors["p95"] <= 30


@pytest.mark.parametrize(("name", "mape"), [("h100-sxm", 7.0), ("b200-sxm", 5.0)])
def test_power_of_unseen_models_given_their_time(name, mape):
    label = "power, given time, model left out, without unprofiled fp8"
    assert load_record(name)["errors"][label]["mape"] <= mape


def test_stated_errors_are_those_of_the_shipped_file(shared_data):
    runs = [r for r in read_serving_runs(shared_data / "ml_energy") if r.gpu == "h100-sxm"]
    latency, energy = cb.predict(load_fit("h100-sxm"), runs)
    errors = load_record("h100-sxm")["errors"]
    measured = np.array([run.energy_j for run in runs])
    mape = 100 * np.abs(np.asarray(energy) / measured - 1).mean()
    assert mape == pytest.approx(errors["serving energy per token, seen"]["mape"], abs=0.1)
