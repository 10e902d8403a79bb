"""Measured serving runs (ML.ENERGY leaderboard) and the iterations that explain them."""

import dataclasses as dc
import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pyarrow.csv as pacsv

from carbjax._hardware import tables
from carbjax._hardware.model import ModelShape
from carbjax._surrogate.cost import AbstractIterationCost, Cost
from carbjax._surrogate.features import BatchFeatures

MODELS = {
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "meta-llama/Llama-3.1-405B-Instruct": "llama-3.1-405b",
    "meta-llama/Llama-3.1-405B-Instruct-FP8": "llama-3.1-405b",
    "Qwen/Qwen3-8B": "qwen3-8b",
    "google/gemma-3-12b-it": "gemma-3-12b",
    "google/gemma-3-27b-it": "gemma-3-27b",
}
ASSUMED_PROMPT_TOKENS = 500.0
"""The source gives no prompt lengths; this is the assumption of every calibration."""


@dc.dataclass(frozen=True)
class ServingRun:
    """One configuration of the leaderboard, in steady state."""

    model: ModelShape
    gpu: str
    num_gpus: int
    batch: float  # mean requests running
    output_tokens: float  # mean of a request
    mean_generated: float  # tokens generated so far, mean over running requests
    iteration_s: float  # batch over throughput
    inter_token_s: float  # median
    power_w: float  # of all GPUs
    task: str = "lm-arena-chat"

    @property
    def energy_j(self) -> float:
        """Of one iteration, all GPUs: energy per output token times the batch."""
        return self.power_w * self.iteration_s


def read_serving_runs(
    folder: pathlib.Path, task: str = "lm-arena-chat"
) -> list[ServingRun]:
    """The runs of dense models whose shape is known, from `ml_energy/`."""
    table = pacsv.read_csv(folder / "llm_configs.csv").to_pylist()
    runs = []
    for row in table:
        if row["model_id"] not in MODELS or row["task"] != task:
            continue
        model = tables.model(MODELS[row["model_id"]])
        if row["weight_precision"] == "fp8":
            model = dc.replace(model, name=model.name + "-fp8", bytes_per_weight=1.0)
        runs.append(
            ServingRun(
                model=model,
                gpu=f"{row['gpu_model'].lower()}-sxm",
                num_gpus=row["num_gpus"],
                batch=row["avg_batch_size"],
                output_tokens=row["avg_output_len"],
                mean_generated=_mean_generated(folder, row["model_id"], task),
                iteration_s=row["avg_batch_size"] / row["output_throughput_tokens_per_sec"],
                inter_token_s=1e-3 * row["median_itl_ms"],
                power_w=row["avg_power_watts"],
                task=task,
            )
        )
    return runs


def _mean_generated(folder: pathlib.Path, model_id: str, task: str) -> float:
    """`E[L^2] / (2 E[L])` of the output lengths L: longer requests run for longer."""
    file = folder / "models" / f"{model_id.replace('/', '__')}__{task}.json"
    histogram = json.loads(file.read_text())["output_length_distribution"]
    edges, counts = np.array(histogram["bins"]), np.array(histogram["counts"])
    middle = (edges[1:] + edges[:-1]) / 2
    return float(np.sum(counts * middle**2) / (2 * np.sum(counts * middle)))


def mean_iteration(
    cost: AbstractIterationCost,
    runs: list[ServingRun],
    prompt: float = ASSUMED_PROMPT_TOKENS,
) -> Cost:
    """Mean latency (s) and energy (J) of the iterations of runs on one system, `" runs"`.

    Requests end, and others begin, `batch / output_tokens` times an iteration. With
    Poisson arrivals a share `1 - exp(-rate)` of iterations prefills, rate / share
    prompts at once; the rest decode only.
    """
    decode, mixed, share = iteration_batches(runs, prompt)
    (t0, e0), (t1, e1) = cost(decode), cost(mixed)
    return t0 + share * (t1 - t0), e0 + share * (e1 - e0)


def iteration_batches(runs: list[ServingRun], prompt: float):
    """A decode-only batch, one with prompts, and the share of iterations of the latter."""
    batch, generated, outputs = (
        np.array([getattr(run, name) for run in runs])
        for name in ("batch", "mean_generated", "output_tokens")
    )
    rate = batch / outputs
    share = -np.expm1(-rate)
    prompts = rate / share
    context = prompt + generated
    zero = np.zeros_like(batch)
    attention = (batch, batch * context, batch * context**2)
    decode = (batch, batch, zero, zero, *attention)
    mixed = (
        batch + prompts * prompt,
        batch + prompts,
        prompts * prompt * (prompt + 1) / 2,
        prompts * prompt,
        *attention,
    )
    as_features = lambda columns: BatchFeatures(*(jnp.asarray(c) for c in columns))  # noqa: E731
    return as_features(decode), as_features(mixed), jnp.asarray(share)
