"""The kernels of serving runs: how long they take, and which bytes and FLOPs they cost."""

import dataclasses as dc
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._fitting.prompt_reuse import PromptTokens
from carbjax._fitting.serving_runs import ServingRun, iteration_batches
from carbjax._surrogate.features import BatchFeatures
from carbjax._surrogate.overheads import Gaps, Host, Sampler
from carbjax._surrogate.parameter_files import OperatorFit
from carbjax._surrogate.specialise import specialise

_OVERHEADS = ("host", "gaps", "sampler")
ALL_REDUCE = "all_reduce"
_ATTENTION = ("prefill_attention", "decode_attention", "attention_interaction")
_UNCAPPED = 1e9  # W


class RunWork(NamedTuple):
    """Kernels of the iterations of runs, by operator, on one GPU, without overheads.

    Axis "batches" is: an iteration that only decodes; one that prefills too; and one with
    as many tokens as the latter has sequences, without attention, which is what the host's
    time is compared with. Energies are of the profiling loops, below any cap.
    """

    operators: tuple[str, ...]
    latency: Float[np.ndarray, "runs batches operators"]  # s
    byte_energy: Float[np.ndarray, "runs batches operators"]  # J
    flop_energy: Float[np.ndarray, "runs batches operators"]  # J
    num_sequences: Float[np.ndarray, "runs batches"]

    def is_one_of(self, names: Sequence[str]) -> Float[np.ndarray, "1 1 operators"]:
        """1 for the operators of those names, 0 for others."""
        return np.array([[[float(name in names) for name in self.operators]]])

    @property
    def without_attention(self) -> Float[np.ndarray, "1 1 operators"]:
        return 1.0 - self.is_one_of(_ATTENTION)


def run_work(
    fit: OperatorFit, runs: list[ServingRun], prompt: PromptTokens | None = None
) -> RunWork:
    """The kernels of runs, whatever their form: by running their costs of one kind."""
    of_bytes, of_flops = (_of_one_energy(fit, kind) for kind in ("byte", "flop"))
    parts = []
    for group in by_system(runs):
        features = _three_batches(group, prompt)
        system = group[0].model, group[0].num_gpus
        moved = specialise(of_bytes, *system).operator_costs(features)
        computed = specialise(of_flops, *system).operator_costs(features)
        parts.append((moved, computed, np.asarray(features.num_sequences)))
    names = sorted({name for moved, _, _ in parts for name in moved} - set(_OVERHEADS))

    def gather(values) -> np.ndarray:
        return np.concatenate([values(*part) for part in parts])

    return RunWork(
        tuple(names),
        gather(lambda moved, _, like: _stacked(moved, names, like, lambda t, p: t)),
        gather(lambda moved, _, like: _stacked(moved, names, like, lambda t, p: t * p)),
        gather(lambda _, flops, like: _stacked(flops, names, like, lambda t, p: t * p)),
        gather(lambda moved, flops, like: like),
    )


def by_system(runs: list[ServingRun]) -> list[list[ServingRun]]:
    """Neighbouring runs of the same model, precision and number of GPUs."""
    key = lambda run: (run.model.name, run.num_gpus)  # noqa: E731
    return [list(group) for _, group in itertools.groupby(runs, key)]


def _three_batches(runs: list[ServingRun], prompt: PromptTokens | None) -> BatchFeatures:
    batches = iteration_batches(runs, prompt)
    sequences = batches.mixed.num_sequences
    nothing = jnp.zeros_like(sequences)
    alone = BatchFeatures(sequences, sequences, *(nothing,) * 5)
    three = (batches.decode, batches.mixed, alone)
    return BatchFeatures(
        *(
            jnp.stack([getattr(batch, field.name) for batch in three], axis=1)
            for field in dc.fields(BatchFeatures)
        )
    )


def _of_one_energy(fit: OperatorFit, kind: str) -> OperatorFit:
    """The fit where only bytes, or only FLOPs, cost energy, and overheads take no time."""
    other = {"byte": "flop_energy", "flop": "byte_energy"}[kind]
    power = {
        name: dc.replace(model, static_power=1e-9, **{other: 0.0})
        for name, model in fit.power.items()
    }
    none = Host(0.0, 0.0, 1.0), Gaps(0.0, 1.0), Sampler(0.0, 1.0)
    host, gaps, sampler = none
    return dc.replace(
        fit, power=power, host=host, gaps=gaps, sampler=sampler, max_power=_UNCAPPED
    )


def _stacked(costs: dict, names: list[str], like: np.ndarray, value) -> np.ndarray:
    absent: tuple[Array, Array] = jnp.zeros_like(like), jnp.zeros_like(like)
    found = [np.asarray(value(*costs.get(name, absent))) for name in names]
    return np.stack(found, axis=-1)
