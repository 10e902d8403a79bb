"""The sizes along which calls of an operator differ: what a fit is judged and drawn by."""

import dataclasses as dc
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from carbjax._fitting import splits as sp
from carbjax._profiles.profile import Names, Profile

Floats = Float[np.ndarray, " rows"]
_FEWEST_SHAPES = 5  # one in five is held out


@dc.dataclass(frozen=True)
class Axes:
    """The axis along which an operator grows, its amount of work, and what else differs.

    `line` names what calls have in common that differ in `size` alone.
    """

    size_name: str
    size: Floats
    work: Floats
    line: Names


def axes_of(profile: Profile) -> Axes:
    """The axes of the calls of one operator, or of all attention together."""
    return _AXES[_kind(profile)](profile)


def splits_of(profile: Profile) -> tuple[sp.Split, ...]:
    """The splits by which a fit of one operator is judged; none is of shuffled rows.

    Always between sizes and beyond them; of matrix products also other shapes, and of
    mixed batches other contexts.
    """
    axes = axes_of(profile)
    found = [sp.interpolation(_judged_size(profile, axes)), sp.extrapolation(axes.work)]
    name = _kind(profile)
    if name == "gemm" and len(np.unique(axes.line)) >= _FEWEST_SHAPES:
        found.append(sp.unseen_shapes(profile.n, profile.k))
    if name == "mixed_attention":
        found.append(sp.held_out_lines(contexts(profile)))
    return tuple(split for split in found if not split.is_empty)


def chunks(profile: Profile) -> Floats:
    """New tokens of a prompt, where all prompts of a call are alike; 0 without prefill.

    Of r prompts of p new and c cached tokens a profile holds r p, r (p + c) and
    r (p c + p (p + 1) / 2): three equations.
    """
    tokens = np.maximum(profile.prefill_tokens, 1.0)
    pairs, kv = profile.prefill_pairs / tokens, profile.prefill_kv / tokens
    size = (pairs - 0.5) / np.maximum(kv - 0.5, 0.5)
    return np.where(profile.prefill_tokens > 0, np.round(size), 0.0)


def cached(profile: Profile) -> Floats:
    """Tokens of each prompt that were cached before, where all prompts are alike."""
    prompts = profile.prefill_tokens / np.maximum(chunks(profile), 1.0)
    return np.round(profile.prefill_kv / np.maximum(prompts, 1.0) - chunks(profile))


def contexts(profile: Profile) -> Floats:
    """Mean tokens of context of the decode requests."""
    return profile.decode_kv / np.maximum(profile.decode_tokens, 1.0)


def _judged_size(profile: Profile, axes: Axes) -> Floats:
    # A decode profile is dense in requests and sparse in contexts.
    return contexts(profile) if _kind(profile) == "decode_attention" else axes.size


def _kind(profile: Profile) -> str:
    found = np.unique(profile.operator).tolist()
    return "mixed_attention" if "mixed_attention" in found else str(found[0])


def _gemm(profile: Profile) -> Axes:
    line = _text("{:.0f} x {:.0f}", profile.n, profile.k)
    return Axes("tokens", profile.num_tokens, profile.num_tokens, line)


def _prefill(profile: Profile) -> Axes:
    size = chunks(profile)
    prompts = np.round(profile.prefill_tokens / np.maximum(size, 1.0))
    several = np.where(prompts > 1, _text(", {:.0f} prompts", prompts), "")
    line = _text(
        "{:.0f}/{:.0f}/{:.0f} heads, {:.0f} cached", *_heads(profile), cached(profile)
    )
    line = np.char.add(line, several)
    return Axes("new tokens of a prompt", size, profile.prefill_flops, line)


def _decode(profile: Profile) -> Axes:
    columns = (*_heads(profile), contexts(profile))
    line = _text("{:.0f}/{:.0f}/{:.0f} heads, context {:.0f}", *columns)
    return Axes("requests", profile.decode_tokens, profile.decode_bytes, line)


def _mixed(profile: Profile) -> Axes:
    columns = (cached(profile), profile.decode_tokens, contexts(profile))
    line = _text("{:.0f} cached, {:.0f} requests of {:.0f}", *columns)
    work = profile.prefill_flops + profile.decode_flops
    return Axes("new tokens of a prompt", chunks(profile), work, line)


def _all_reduce(profile: Profile) -> Axes:
    line = _text("{:.0f} GPUs", profile.num_gpus)
    return Axes("bytes", profile.message_bytes, profile.message_bytes, line)


def _experts(profile: Profile) -> Axes:
    columns = (profile.num_experts, profile.experts_per_token, profile.intermediate_size)
    line = _text("{:.0f} experts, {:.0f} a token, of {:.0f}", *columns)
    return Axes("tokens", profile.num_tokens, profile.num_tokens, line)


def _by_label(profile: Profile) -> Axes:
    per_token = profile.message_bytes / np.maximum(profile.num_tokens, 1.0)
    line = np.char.add(profile.label, _text(", {:.0f} B a token", per_token))
    return Axes("tokens", profile.num_tokens, profile.num_tokens, line)


_AXES: dict[str, Callable[[Profile], Axes]] = {
    "gemm": _gemm,
    "prefill_attention": _prefill,
    "decode_attention": _decode,
    "mixed_attention": _mixed,
    "all_reduce": _all_reduce,
    "elementwise": _by_label,
    "moe": _experts,
    "sampler": _by_label,
}


def _heads(profile: Profile) -> tuple[Floats, Floats, Floats]:
    """Query heads, key-value heads, and their width."""
    return profile.num_heads, profile.num_kv_heads, profile.head_dim


def _text(template: str, *columns: Floats) -> Names:
    return np.array([template.format(*values) for values in zip(*columns, strict=True)])
