"""How many prompt tokens a benchmark run computed: prefixes are cached, prompts repeated.

The runs of ML.ENERGY 3.0 are of vLLM 0.11.1 with its prefix cache on (the default). Their
chat requests are the turns of conversations, each sent with the turns before it, so much
of a prompt is cached already; and larger batches send the same 1,024 requests several
times over. From `ml-energy/benchmark`: docs/overview.md, mlenergy/llm/datasets.py,
mlenergy/llm/benchmark.py (the measured window) and configs/vllm/*/sweeps.yaml.
"""

from typing import NamedTuple

from carbjax._hardware.accelerator import Accelerator
from carbjax._hardware.memory import kv_capacity_tokens
from carbjax._hardware.model import ModelShape

_REQUESTS = 1024
_MEMORY_FRACTION = 0.95  # mlenergy/llm/benchmark.py: --gpu-memory-utilization
_BATCH_SIZES = (
    8,
    16,
    32,
    64,
    96,
    128,
    192,
    256,
    384,
    512,
    768,
    1024,
    1536,
    2048,
    3072,
    4096,
)

# Repeats of the request list by (model, GPU), each up to a maximum batch size; sweeps that
# could not be read repeat as most others do.
_REPEATS = {
    ("llama-3.1-8b", "b200-sxm"): ((64, 1), (256, 2), (512, 3), (1024, 4), (2048, 8)),
    ("qwen3-8b", "b200-sxm"): ((128, 1), (512, 2), (1536, 4)),
    ("llama-3.1-405b", "b200-sxm"): ((512, 1), (1024, 2), (2048, 3), (3072, 4), (4096, 6)),
    ("llama-3.1-8b", "h100-sxm"): ((192, 1), (512, 2), (1024, 3)),
}
_USUAL_REPEATS = ((192, 1), (4096, 2))


class PromptTokens(NamedTuple):
    """Mean tokens of a request's prompt: all, those to compute, and when repeated.

    634 is published (ml.energy blog, "Reading the ML.ENERGY Leaderboard v3.0", of Qwen 3
    32B; 224 for gpqa). No source gives what of it is new. The time that prompts add to
    iterations of Llama-3.1-405B says 0.5 of it on B200 and 0.6 on H100; the batches that
    fit the KV cache of H100 say 350 to 430 tokens.
    """

    total: float
    new: float
    repeated: float

    @staticmethod
    def of_task(task: str) -> "PromptTokens":
        """The assumption for a task of the benchmark."""
        if task == "gpqa":
            return PromptTokens(224.0, 224.0, 16.0)  # single questions
        return PromptTokens(634.0, 360.0, 60.0)

    def computed(self, share_repeated: float) -> float:
        """Mean tokens to compute, where that share of prompts is in the cache."""
        return self.new + share_repeated * (self.repeated - self.new)


def share_repeated(
    model: ModelShape,
    accelerator: Accelerator,
    num_gpus: int,
    batch: float,
    output_tokens: float,
    prompt: PromptTokens,
) -> float:
    """Share of the prompts in the measured window whose keys and values were cached.

    The window runs from the first token of request `max_num_seqs` to that of the last but
    `max_num_seqs`. A prompt of the second or a later round is cached where the KV cache
    holds a whole round of requests: it drops the least recently used.
    """
    most = next((size for size in _BATCH_SIZES if batch <= size), _BATCH_SIZES[-1])
    total = _REQUESTS * _repeats(model.name.removesuffix("-fp8"), accelerator.name, most)
    window = max(total - 2 * most, _REQUESTS)
    capacity = kv_capacity_tokens(accelerator, model, num_gpus, _MEMORY_FRACTION)
    if total == _REQUESTS or capacity < _REQUESTS * (prompt.new + output_tokens):
        return 0.0
    first_round = max(_REQUESTS - most, 0)
    return 1.0 - min(first_round / window, 1.0)


def _repeats(model: str, gpu: str, most: int) -> int:
    sweep = _REPEATS.get((model, gpu), _USUAL_REPEATS)
    return next((repeats for size, repeats in sweep if most <= size), sweep[-1][1])
