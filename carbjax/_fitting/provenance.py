"""What a parameter file says of itself: sources, box of validity, remarks."""

from carbjax._fitting.attention_record import LONGEST_CONTEXT
from carbjax._fitting.dense_record import ALL_REDUCE_FROM
from carbjax._fitting.moe_fit import EXPERTS_FITTED, EXPERTS_FROM
from carbjax._fitting.prompt_reuse import PromptTokens
from carbjax._fitting.rtx_profile import RTX
from carbjax._fitting.serving_runs import LARGEST_BATCH

# Where a GPU has no measurement of its own: whose it takes.
POWER_FROM = {"a100-sxm": "h200-sxm", "h100-sxm": "h200-sxm", RTX.name: "h100-sxm"}
CALIBRATION_FROM = {
    "a100-sxm": "h100-sxm",
    "h200-sxm": "h100-sxm",
    RTX.name: "h100-sxm",
}
SAMPLER_MEASURED = (RTX.name,)
NO_ALL_REDUCE = (RTX.name,)

_AICONFIGURATOR = "ai-dynamo/aiconfigurator@095f58a51c4ca8e61b66ec108d86f223f8d559ce"
_LLMSERVINGSIM = "casys-kaist/LLMServingSim@5daddb21a545658d5150b535712d0494584b5278"
_LEADERBOARD = "ml-energy/leaderboard@0cd52dab897c5d91a45f4d413038f3b8b4251b0f"


def sources(name: str) -> dict[str, str]:
    """Where the measurements of a GPU's file come from."""
    if name == RTX.name:
        return {
            "kernels, mixed batches and sampler": _LLMSERVINGSIM,
            "power of kernels (another GPU's)": _AICONFIGURATOR,
            "serving runs (another GPU's)": _LEADERBOARD,
        }
    return {
        "kernels": _AICONFIGURATOR,
        "elementwise and mixed batches": _LLMSERVINGSIM,
        "serving runs": _LEADERBOARD,
    }


def validity(name: str) -> dict:
    """The box that the measurements of a GPU span. `outside_box` compares with it."""
    if name == RTX.name:
        return _RTX_VALIDITY
    batch = LARGEST_BATCH[CALIBRATION_FROM.get(name, name)]
    return _VALIDITY | {"num_sequences": [1, int(batch)]}


_VALIDITY = {
    "num_tokens": [1, 32768],
    "prompt_tokens": [16, 16384],
    "context_tokens": [1, LONGEST_CONTEXT],
    "tensor_parallel": [1, 2, 4, 8],
    "gemm_columns_and_depth": [512, 65536],
    "precision": "bf16 weights and cache; fp8 weights by the remark",
}
_RTX_VALIDITY = {
    "num_tokens": [1, 2048],
    "prompt_tokens": [16, 2048],
    "context_tokens": [1, 16384],
    "num_sequences": [1, 256],
    "tensor_parallel": [1],
    "gemm_columns_and_depth": [4096, 28672],
    "precision": "bf16 weights and cache; fp8 weights by the remark",
}


def remarks(name: str) -> list[str]:
    """What was assumed or carried over."""
    prompt = PromptTokens.of_task("lm-arena-chat")
    return [
        *_of_kernels(name),
        f"serving runs give no prompt lengths: {prompt.total:.0f} tokens as published, of "
        f"which {prompt.new:.0f} are taken as new and the others as cached",
        "the power limit holds for the mean over an iteration: one kernel may draw more",
        "idle_power is not fitted; active_idle_power is the calibrated static power",
        *_of_transfers(name),
    ]


def _of_kernels(name: str) -> list[str]:
    if name == RTX.name:
        return [
            "prompt_tokens are those of a chunk, which may have up to 16384 cached before",
            *_of_experts(name),
        ]
    return [
        "prefill and decode attention are taken to run one by one: what they cost each "
        "other in one kernel was measured on an RTX PRO 6000 only, and serving runs of "
        "H100 do not bear it out",
        "what cached tokens cost a chunk was measured on an RTX PRO 6000 only and carried "
        "over by the time of long prompts",
        "elementwise kernels: launch of an RTX PRO 6000, bytes at shares of this GPU's "
        "bandwidths",
        *_of_experts(name),
    ]


def _of_experts(name: str) -> list[str]:
    if name in EXPERTS_FITTED:
        return ["experts: cut over the GPUs of a model, and not spread whole"]
    return [
        f"experts of {EXPERTS_FROM} by bandwidth and FLOP rate; cut over the GPUs of a "
        "model, and not spread whole"
    ]


def _of_transfers(name: str) -> list[str]:
    found = []
    if name in POWER_FROM:
        found.append(
            f"no power profile: powers of {POWER_FROM[name]} as shares of the limit"
        )
    if name in CALIBRATION_FROM:
        found.append(f"no serving runs: calibration of {CALIBRATION_FROM[name]}")
    if name in SAMPLER_MEASURED:
        found.append(
            "the sampler's time a logit was measured, alone: its launch is left to "
            "host.base, its log_sd is that of the carried calibration, and how it sampled "
            "is not stated"
        )
    if name in NO_ALL_REDUCE:
        found.append("no all-reduce profile: one GPU a model only")
    if name in ALL_REDUCE_FROM:
        source, factor = ALL_REDUCE_FROM[name]
        found.append(
            f"all-reduce of {source}, bytes at {factor} of its time, then calibrated"
        )
    if name != "h100-sxm":
        found.append(
            "fp8: the bf16 GEMM with half the weight bytes, and half the FLOP time where "
            "the GPU has fp8 tensor cores; runs of fp8 weights calibrate nothing here"
        )
    return found
