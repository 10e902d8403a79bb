"""Measured serving runs (ML.ENERGY leaderboard) and the iterations that explain them."""

import dataclasses as dc
import json
import pathlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pyarrow.csv as pacsv
from jaxtyping import Array, Float

from carbjax._fitting.prompt_reuse import PromptTokens, share_repeated
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
LARGEST_BATCH = {"h100-sxm": 691.0, "b200-sxm": 3589.0}
"""Mean requests running in the largest run of a GPU."""


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

    @property
    def prefill_share(self) -> float:
        """Share of iterations with a prompt: requests begin as a Poisson process."""
        return float(-np.expm1(-self.batch / self.output_tokens))

    @property
    def is_fp8(self) -> bool:
        return self.model.bytes_per_weight <= 1


def read_serving_runs(
    folder: pathlib.Path, task: str = "lm-arena-chat"
) -> list[ServingRun]:
    """The runs of dense models whose shape is known, from `ml_energy/`."""
    table = pacsv.read_csv(folder / "llm_configs.csv").to_pylist()
    rows = [row for row in table if row["model_id"] in MODELS and row["task"] == task]
    return [_run(folder, row) for row in rows]


def _run(folder: pathlib.Path, row: dict) -> ServingRun:
    model = tables.model(MODELS[row["model_id"]])
    if row["weight_precision"] == "fp8":
        model = dc.replace(model, name=model.name + "-fp8", bytes_per_weight=1.0)
    return ServingRun(
        model=model,
        gpu=f"{row['gpu_model'].lower()}-sxm",
        num_gpus=row["num_gpus"],
        batch=row["avg_batch_size"],
        output_tokens=row["avg_output_len"],
        mean_generated=_mean_generated(folder, row["model_id"], row["task"]),
        iteration_s=row["avg_batch_size"] / row["output_throughput_tokens_per_sec"],
        inter_token_s=1e-3 * row["median_itl_ms"],
        power_w=row["avg_power_watts"],
        task=row["task"],
    )


def _mean_generated(folder: pathlib.Path, model_id: str, task: str) -> float:
    """`E[L^2] / (2 E[L])` of the output lengths L: longer requests run for longer."""
    file = folder / "models" / f"{model_id.replace('/', '__')}__{task}.json"
    histogram = json.loads(file.read_text())["output_length_distribution"]
    edges, counts = np.array(histogram["bins"]), np.array(histogram["counts"])
    middle = (edges[1:] + edges[:-1]) / 2
    return float(np.sum(counts * middle**2) / (2 * np.sum(counts * middle)))


class IterationBatches(NamedTuple):
    """The batches of runs: of iterations that only decode, and of those that prefill."""

    decode: BatchFeatures
    mixed: BatchFeatures
    mixed_share: Float[Array, " runs"]

    def mean(
        self, decode: Float[Array, " runs"], mixed: Float[Array, " runs"]
    ) -> Float[Array, " runs"]:
        """Mean over iterations of what the two kinds cost."""
        return decode + self.mixed_share * (mixed - decode)


def iteration_batches(
    runs: list[ServingRun], prompt: PromptTokens | None = None
) -> IterationBatches:
    """What is in the batches of runs.

    Requests end, and others begin, `batch / output_tokens` times an iteration. With
    Poisson arrivals a share `1 - exp(-rate)` of iterations prefills, rate / share
    prompts at once; the rest decode only.

    Of a cached prefix, requests of one conversation share the memory and run side by
    side. It is taken to be read from L2, so `decode_kv` counts new and generated tokens.
    """
    tokens = [prompt or PromptTokens.of_task(run.task) for run in runs]
    new = np.array([_new_tokens(r, p) for r, p in zip(runs, tokens, strict=True)])
    cached = np.array([p.total for p in tokens]) - new
    own = np.array([p.new for p in tokens])
    batch = np.array([run.batch for run in runs])
    share = np.array([run.prefill_share for run in runs])
    prompts = batch / np.array([run.output_tokens for run in runs]) / share
    context = own + np.array([run.mean_generated for run in runs])
    zero = np.zeros_like(batch)
    attention = (batch, batch * context, batch * context**2)
    mixed = (
        batch + prompts * new,
        batch + prompts,
        prompts * new * (cached + (new + 1) / 2),
        prompts * (cached + new),
    )
    return IterationBatches(
        _features((batch, batch, zero, zero, *attention)),
        _features((*mixed, *attention)),
        jnp.asarray(share),
    )


def _new_tokens(run: ServingRun, prompt: PromptTokens) -> float:
    repeated = share_repeated(
        run.model,
        tables.accelerator(run.gpu),
        run.num_gpus,
        run.batch,
        run.output_tokens,
        prompt,
    )
    return prompt.computed(repeated)


def _features(columns) -> BatchFeatures:
    return BatchFeatures(*(jnp.asarray(column) for column in columns))


def mean_iteration(
    cost: AbstractIterationCost,
    runs: list[ServingRun],
    prompt: PromptTokens | None = None,
) -> Cost:
    """Mean latency (s) and energy (J) of an iteration of runs on one system, `" runs"`."""
    batches = iteration_batches(runs, prompt)
    (t0, e0), (t1, e1) = cost(batches.decode), cost(batches.mixed)
    return batches.mean(t0, t1), batches.mean(e0, e1)
