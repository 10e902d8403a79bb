"""Attention of a GPU as shipped: its parameters, and their errors on held-out rows."""

import dataclasses as dc
import pathlib

import numpy as np

from carbjax._fitting import attention_fit as af, attention_mixed as am, rtx_profile
from carbjax._fitting.fit import GpuFacts
from carbjax._fitting.report import errors
from carbjax._fitting.rtx_profile import RTX
from carbjax._fitting.splits import held_out_lines
from carbjax._profiles import aiconfigurator as aic
from carbjax._profiles.profile import Profile, concatenate
from carbjax._surrogate.attention_forms import KernelFit, SharedKernel

LONGEST_CONTEXT = 32768
_LONG_PROMPT = 1024  # from here on a prompt fills the GPU


def attention_record(gpu: GpuFacts, data: pathlib.Path) -> tuple[dict, dict]:
    """Parameters of prefill, decode and their sharing, and errors on held-out rows.

    Held out is every third prompt length or context; the parameters are of all rows.
    The dictionary holds records of `KernelFit` (`prefill_attention`,
    `decode_attention`) and of `SharedKernel` (`shared_kernel`; None where no profile has
    mixed batches: carried over from the RTX PRO 6000, it made serving runs of H100 take
    up to half as long again as they did). Profiles with nothing cached learn from the
    RTX PRO 6000 what cached tokens cost, in proportion to the time of long prompts.
    """
    rows = concatenate(*rtx_profile.attention(data))
    if gpu.name == RTX.name:
        mixed = am.fit_mixed(rows, _all(rows))
        parameters = _parameters(mixed.prefill, mixed.decode, mixed.shared)
        return parameters, mixed_errors(rows)
    prefill, decode = attention_profiles(gpu, data)
    extended = with_cached(prefill, rows)
    found = af.fit_prefill(extended, _all(extended)).kernel
    fitted = af.fit_decode(decode, _all(decode))
    return _parameters(found, fitted.kernel, None), {
        "prefill_attention latency": _prefill_errors(prefill, rows),
        "decode_attention latency": _decode_errors(decode),
    }


def attention_profiles(gpu: GpuFacts, data: pathlib.Path) -> tuple[Profile, Profile]:
    """Prefill and decode rows of the head counts and contexts that models have."""
    folder = data / "aiconfigurator" / gpu.name.replace("-", "_")
    prefill = aic.read_context_attention(folder / "context_attention.csv.gz")
    decode = aic.read_generation_attention(folder / "generation_attention.csv.gz")
    short = decode.decode_kv <= LONGEST_CONTEXT * decode.decode_tokens
    return _profiled(prefill, _all(prefill)), _profiled(decode, short)


def _profiled(rows: Profile, keep) -> Profile:
    return rows.select((rows.head_dim == af.HEAD_DIM) & (rows.num_heads >= 4) & keep)


def time_ratio(prefill: Profile, rows: Profile) -> float:
    """How many times the RTX PRO 6000's a GPU's seconds for long prompts are, per FLOP."""
    ours = prefill.select(_alone(prefill) & (prefill.prefill_kv >= _LONG_PROMPT))
    ours = ours.select(ours.num_heads >= rows.num_heads[0])
    theirs = rows.select(
        _alone(rows) & (rows.decode_tokens == 0) & (rows.prefill_kv >= _LONG_PROMPT)
    )
    reach = theirs.prefill_kv.max()
    return float(
        np.median(_rate(ours.select(ours.prefill_kv <= reach))) / np.median(_rate(theirs))
    )


def with_cached(prefill: Profile, rows: Profile) -> Profile:
    """A profile with nothing cached, and chunks over a cache carried to it."""
    chunks = rows.select((rows.prefill_kv > rows.num_tokens) & (rows.decode_tokens == 0))
    latency = chunks.latency_s * time_ratio(prefill, rows)
    return concatenate(prefill, dc.replace(chunks, latency_s=latency))


def mixed_errors(rows: Profile) -> dict:
    """Errors of batches of prefill, of decode and of both, at held-out contexts."""
    context = rows.decode_kv / np.maximum(rows.decode_tokens, 1.0)
    cached = np.where(rows.prefill_kv > 0, rows.prefill_kv - _new(rows), 0.0)
    prefill, decode = rows.prefill_kv > 0, rows.decode_tokens > 0
    lines = held_out_lines(context).held_out & decode
    fit = am.fit_mixed(rows, ~lines)
    predicted = am.predict_mixed(fit, rows)
    chunk_lines = held_out_lines(cached).held_out & prefill & ~decode
    chunk = am.predict_mixed(am.fit_mixed(rows, ~chunk_lines), rows)
    return {
        "prefill_attention latency": _errors(chunk, rows, chunk_lines),
        "decode_attention latency": _errors(predicted, rows, lines & ~prefill),
        "mixed attention latency (rtx-pro-6000)": _errors(predicted, rows, lines & prefill),
    }


def _prefill_errors(prefill: Profile, rows: Profile) -> dict:
    prompt = 2 * prefill.prefill_pairs / prefill.prefill_kv - 1
    held_out = held_out_lines(np.round(prompt)).held_out
    extended = with_cached(prefill, rows)
    train = np.concatenate([~held_out, np.ones(len(extended) - len(prefill), dtype=bool)])
    kernel = af.fit_prefill(extended, train).kernel
    return _errors(af.predict(kernel, af.prefill_work(prefill)), prefill, held_out)


def _decode_errors(decode: Profile) -> dict:
    held_out = held_out_lines(decode.decode_kv / decode.decode_tokens).held_out
    kernel = af.fit_decode(decode, ~held_out).kernel
    return _errors(af.predict(kernel, af.decode_work(decode)), decode, held_out)


def _parameters(prefill: KernelFit, decode: KernelFit, shared: SharedKernel | None) -> dict:
    return {
        "prefill_attention": prefill.to_record(),
        "decode_attention": decode.to_record(),
        "shared_kernel": None if shared is None else shared.to_record(),
    }


def _errors(predicted, rows: Profile, chosen) -> dict:
    return errors(predicted[chosen], rows.latency_s[chosen]).as_dict()


def _all(rows: Profile):
    return np.ones(len(rows), dtype=bool)


def _new(rows: Profile):
    return rows.num_tokens - rows.decode_tokens


def _alone(rows: Profile):
    """Rows of one prompt with nothing cached."""
    new = _new(rows)
    return (rows.prefill_kv == new) & np.isclose(rows.prefill_pairs, new * (new + 1) / 2)


def _rate(rows: Profile):
    return rows.latency_s / rows.prefill_flops
