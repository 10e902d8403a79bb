"""What a system may be asked for beyond the measurements that its fit rests on."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from carbjax._errors import ExtrapolationWarning
from carbjax._hardware.model import ModelShape
from carbjax._surrogate.parameter_files import available_accelerators, load_record

_told: set[str] = set()


def warn_once(lines: Iterable[str]) -> None:
    """Warn of each line the first time that it comes up in this process."""
    for line in lines:
        if line not in _told:
            _told.add(line)
            warnings.warn(f"the surrogate extrapolates: {line}", ExtrapolationWarning, 3)


def outside_box(
    fit: str | Mapping[str, Any],
    *,
    max_num_batched_tokens: float,
    max_num_seqs: float,
    max_context: float,
    longest_prompt: float | None = None,
    num_requests: int | None = None,
    whole_prompts: bool = False,
    model: ModelShape | None = None,
    tensor_parallel: int = 1,
) -> tuple[str, ...]:
    """A short line for each thing that can be asked for and was not measured.

    Beyond its box a fit extrapolates in straight lines, which is not wrong but is not
    measured either. Nothing here depends on traced values.

    - `fit`: the name of an accelerator, or the record of a parameter file. A name
      without a shipped fit has no box, and no lines.
    - `max_num_batched_tokens`, `max_num_seqs`: the caps of the scheduler.
    - `max_context`: most tokens of prompt and answer of a request.
    - `longest_prompt`, `num_requests`: of the workload, if known; less can be asked
      for than the caps allow.
    - `whole_prompts`: prompts are never cut, not even those beyond the cap.
    - `model`, `tensor_parallel`: say how large the matrix products are.
    """
    box = _box(fit)
    prompt = max_context if longest_prompt is None else longest_prompt
    chunk = prompt if whole_prompts else min(prompt, max_num_batched_tokens)
    seqs = max_num_seqs if num_requests is None else min(max_num_seqs, num_requests)
    together = min(max(max_num_batched_tokens, chunk), seqs * max(prompt, 1))
    asked = {
        "num_tokens": ("iterations up to {} tokens", together),
        "prompt_tokens": ("prefill chunks up to {} tokens", chunk),
        "context_tokens": ("contexts up to {} tokens", max_context),
        "num_sequences": ("batches up to {} requests", seqs),
        "tensor_parallel": ("tensor parallelism of {} GPUs", tensor_parallel),
    }
    lines = [
        f"{text.format(f'{value:.0f}')} asked, fitted to {max(box[name])}"
        for name, (text, value) in asked.items()
        if name in box and value > max(box[name])
    ]
    return (*lines, *_outside_shapes(box, model, tensor_parallel))


def _box(fit: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(fit, str):
        return fit["validity"]
    return load_record(fit)["validity"] if fit in available_accelerators() else {}


def _outside_shapes(
    box: Mapping[str, Any], model: ModelShape | None, gpus: int
) -> Iterator[str]:
    if model is None or "gemm_columns_and_depth" not in box:
        return
    low, high = box["gemm_columns_and_depth"]
    sizes = _columns_and_depths(model, gpus)
    if min(sizes) < low or max(sizes) > high:
        yield (
            f"matrix products of {min(sizes)} to {max(sizes)} columns or depth asked, "
            f"fitted from {low} to {high}"
        )


def _columns_and_depths(model: ModelShape, gpus: int) -> tuple[int, ...]:
    """Both sizes of the weights of each product of a layer, on one GPU."""
    heads = model.num_heads * model.head_dim // gpus
    kv_heads = max(model.num_kv_heads // gpus, 1) * model.head_dim
    columns = model.intermediate_size // gpus
    return (heads + 2 * kv_heads, model.hidden_size, heads, 2 * columns, columns)
