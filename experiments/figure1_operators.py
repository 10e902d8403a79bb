"""Time and energy of each operator of Llama-3.1-8B against the tokens in the batch.

    python -m experiments.figure1_operators [CONFIG] [--set KEY=VALUE] [--out FOLDER]

Points are public measurements, curves what `System.operator_costs` says: time of one
layer on A100, H200 and B200, energy on H200 and B200, whose power was measured too, of
an operator that is repeated by itself.
Energy is latency times power, drawn only where the meter's reading can be trusted.
Prefill attention is of one prompt with that many tokens, decode attention of that many
requests of 1024 tokens of context each.

The profiles of H200 and B200 lack some of the model's matrix products; those points
are hollow. Gate-up is two calls that make up its 28672 columns (16384 and 12288), down
twice one of half its depth, and the LM head one of 65536 columns, times 128256 / 65536.

Prints what it shows, writes `figure1_operators.csv`, `.png` and `.svg`.
"""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.table import Table

import carbjax as cj
from experiments.workbench.drawing import BLUE, GREEN, ORANGE, PINK, new_figure, tidy
from experiments.workbench.inputs import data_path
from experiments.workbench.settings import begin
from experiments.workbench.tables import console, to_table, where, write

NAME = "figure1_operators"
MEASUREMENTS = pathlib.Path("aiconfigurator")
CURVE, MEASURED, ASSEMBLED = "curve", "measured", "assembled"
OPERATORS = {
    "qkv_projection": "QKV projection",
    "output_projection": "output projection",
    "gate_up_projection": "gate-up projection",
    "down_projection": "down projection",
    "prefill_attention": "prefill attention",
    "decode_attention": "decode attention",
    "lm_head": "LM head",
}
# The calls (columns n, depth k) that make a product up, and how many times over.
PRODUCTS = {
    "qkv_projection": ([(6144, 4096)], 1.0),
    "output_projection": ([(4096, 4096)], 1.0),
    "gate_up_projection": ([(16384, 4096), (12288, 4096)], 1.0),
    "down_projection": ([(4096, 7168)], 2.0),
    "lm_head": ([(65536, 4096)], 128256 / 65536),
}
HEADS = (32, 8, 128)  # query heads, key-value heads, width
# Products of the model itself: where a GPU has them, they are taken.
VIDUR = {"a100-sxm": "vidur/compute/a100/meta-llama/Meta-Llama-3-8B/mlp.csv"}
VIDUR_NAMES = {
    "attn_pre_proj": "qkv_projection",
    "attn_post_proj": "output_projection",
    "mlp_up_proj": "gate_up_projection",
    "mlp_down_proj": "down_projection",
}
_COLOURS = (ORANGE, BLUE, GREEN, PINK)  # one a GPU
_MARKERS = "o^sD"
_POINT = {"linestyle": "", "markersize": 3.5, "markeredgewidth": 0.6, "alpha": 0.8}
_QUANTITIES = {"latency_s": "time (s)", "energy_j": "energy (J)", "power_w": "power (W)"}
_DIGITS = 6
_POINTS_PER_OCTAVE = 4


class Settings(NamedTuple):
    """What is drawn, as the configuration says."""

    model: str
    accelerators: tuple[str, ...]
    metered: tuple[str, ...]  # those of them whose power was measured
    largest_batch: int  # tokens
    decode_context: int  # tokens
    least_power_weight: float
    gemm_sizes_out_of_order: tuple[int, ...]  # rows m whose power is of another call


class Point(NamedTuple):
    """One operator of one layer at one batch; a row of the CSV."""

    accelerator: str
    operator: str
    kind: str
    num_tokens: float
    latency_s: float
    power_w: float | None  # one GPU; None where not measured, or not to be trusted
    energy_j: float | None


def main() -> None:
    settings, out = begin(__doc__, NAME, Settings, [MEASUREMENTS])
    data = data_path(MEASUREMENTS).parent
    rows = to_table([*curves(settings), *measured(settings, data)])
    print_findings(rows, settings)
    write(NAME, {NAME: rows}, draw(rows, settings), out)


def curves(settings: Settings) -> Iterator[Point]:
    """What the surrogate says, from one token to the largest batch."""
    octaves = np.log2(settings.largest_batch)
    tokens = np.logspace(0, octaves, round(octaves * _POINTS_PER_OCTAVE) + 1, base=2)
    for accelerator in settings.accelerators:
        system = cj.System.load(accelerator, settings.model)
        layers = system.model.num_layers
        prefill = system.operator_costs(prompt_of(tokens))
        others = {
            "lm_head": system.operator_costs(logits_of(tokens)),
            "decode_attention": system.operator_costs(
                decodes_of(tokens, settings.decode_context)
            ),
        }
        for operator in OPERATORS:
            latency, power = others.get(operator, prefill)[operator]
            latency, power = np.asarray(latency), held_alone(system, latency, power)
            latency = latency / (1 if operator == "lm_head" else layers)
            for m, t, p in zip(tokens, latency, power, strict=True):
                yield point(accelerator, operator, CURVE, m, t, p)


def measured(settings: Settings, data: pathlib.Path) -> Iterator[Point]:
    """What was measured of these operators, and what other calls make up."""
    largest = settings.largest_batch
    for accelerator in settings.accelerators:
        folder = data / "aiconfigurator" / accelerator.replace("-", "_")
        found = [*_products(folder, settings), *_attention(folder, settings)]
        if accelerator in VIDUR:
            found = [*_dense(data / VIDUR[accelerator]), *found]
        seen = {operator for operator, kind, *_ in found if kind == MEASURED}
        for operator, kind, *call in sorted(found, key=lambda each: each[2]):
            if call[0] <= largest and (kind == MEASURED or operator not in seen):
                yield point(accelerator, operator, kind, *call)


def _products(folder: pathlib.Path, settings: Settings) -> Iterator[tuple]:
    """Matrix products; where several calls make one up, the sizes that all have."""
    calls = cj.read_profile(folder / "gemm.csv.gz")
    for operator, (parts, scale) in PRODUCTS.items():
        kind = MEASURED if len(parts) == 1 and scale == 1.0 else ASSEMBLED
        found = [_by_size(calls, n, k, settings) for n, k in parts]
        for m in sorted(set.intersection(*(set(each) for each in found))):
            latency = scale * sum(each[m][0] for each in found)
            energy = scale * sum(each[m][0] * each[m][1] for each in found)
            yield operator, kind, m, latency, energy / latency


def _by_size(calls: cj.Profile, n: int, k: int, settings: Settings) -> dict[float, tuple]:
    """Seconds and watts by number of rows; NaN watts where they cannot be trusted."""
    rows = calls.select((calls.n == n) & (calls.k == k))
    columns = (rows.num_tokens, rows.latency_s, _trusted(rows, settings))
    return {m: (t, p) for m, t, p in zip(*columns, strict=True)}


def _attention(folder: pathlib.Path, settings: Settings) -> Iterator[tuple]:
    """One prompt, and requests of `decode_context` tokens, with the model's heads."""
    prefill = cj.read_profile(folder / "context_attention.csv.gz")
    one = prefill.prefill_pairs == prefill.prefill_kv * (prefill.prefill_kv + 1) / 2
    decode = cj.read_profile(folder / "generation_attention.csv.gz")
    alike = decode.decode_kv == settings.decode_context * decode.decode_tokens
    for operator, calls, wanted in (
        ("prefill_attention", prefill, one),
        ("decode_attention", decode, alike),
    ):
        heads = (calls.num_heads, calls.num_kv_heads, calls.head_dim)
        for column, value in zip(heads, HEADS, strict=True):
            wanted = wanted & (column == value)
        rows = calls.select(wanted)
        columns = (rows.num_tokens, rows.latency_s, _trusted(rows, settings))
        for m, t, p in zip(*columns, strict=True):
            yield operator, MEASURED, m, t, p


def _dense(path: pathlib.Path) -> Iterator[tuple]:
    """Products of the model itself, on one GPU."""
    calls = cj.read_profile(path)
    calls = calls.select(calls.tensor_parallel == 1)
    for name, operator in VIDUR_NAMES.items():
        rows = calls.select(calls.label == name)
        for m, t in zip(rows.num_tokens, rows.latency_s, strict=True):
            yield operator, MEASURED, m, t, np.nan


def _trusted(calls: cj.Profile, settings: Settings) -> np.ndarray:
    """Watts, NaN where the meter had not settled on the call."""
    visited = np.isin(calls.num_tokens, settings.gemm_sizes_out_of_order)
    doubtful = (calls.operator == "gemm") & visited
    trusted = (calls.power_weight >= settings.least_power_weight) & ~doubtful
    return np.where(trusted, calls.power_w, np.nan)


def held_alone(system: cj.System, latency: jax.Array, power: jax.Array) -> np.ndarray:
    """W of an operator that is repeated by itself, as in the profiler's loop.

    In an iteration the power limit holds for the mean of all operators.
    """
    return np.asarray(system.cost.limit(latency, latency * power)[1] / latency)


def prompt_of(tokens: np.ndarray) -> cj.BatchFeatures:
    """One prompt of that many tokens."""
    m, none = jnp.asarray(tokens), jnp.zeros(len(tokens))
    return cj.BatchFeatures(m, jnp.ones(len(tokens)), m * (m + 1) / 2, m, none, none, none)


def logits_of(tokens: np.ndarray) -> cj.BatchFeatures:
    """That many prompts of one token each."""
    m, none = jnp.asarray(tokens), jnp.zeros(len(tokens))
    return cj.BatchFeatures(m, m, m, m, none, none, none)


def decodes_of(tokens: np.ndarray, context: int) -> cj.BatchFeatures:
    """That many decode requests of equal context."""
    m, none = jnp.asarray(tokens), jnp.zeros(len(tokens))
    return cj.BatchFeatures(m, m, none, none, m, context * m, context**2 * m)


def point(
    accelerator: str,
    operator: str,
    kind: str,
    num_tokens: float,
    latency_s: float,
    power_w: float,
) -> Point:
    """A row of the CSV; power and energy are None where `power_w` is NaN."""
    latency, power = _rounded(latency_s), _rounded(power_w)
    energy = _rounded(latency_s * power_w)
    known = (power, energy) if np.isfinite(power_w) else (None, None)
    return Point(accelerator, operator, kind, _rounded(num_tokens), latency, *known)


def print_findings(rows: pa.Table, settings: Settings) -> None:
    """Energy of a token at both ends of what was measured, the power, and the sentence."""
    title = f"{settings.model}, one layer: energy a token, and power"
    headings = ("GPU", "operator", "tokens", "mJ a token", "ratio", "curve", "power, W")
    shown = Table(*headings, title=title, title_justify="left")
    for accelerator in settings.metered:
        for operator in OPERATORS:
            part = where(rows, accelerator=accelerator, operator=operator)
            shown.add_row(accelerator, operator, *_row(part))
        shown.add_section()
    console().print(shown)
    for accelerator in settings.metered:
        print(sentence(where(rows, accelerator=accelerator)))


def _row(part: pa.Table) -> tuple[str, ...]:
    """Batches and energies at the ends, their ratio, the curve's, 10th to 90th power."""
    points, by_curve = trusted_points(part), f"{_ends(where(part, kind=CURVE))[2]:.0f} x"
    if not len(points):
        return ("no trusted reading", "", "", by_curve, "")
    first, last, ratio = _ends(points)
    m = points["num_tokens"].to_numpy()
    low, high = np.quantile(points["power_w"], (0.1, 0.9))
    energies = f"{1e3 * first:.3g} to {1e3 * last:.3g}"
    tokens, power = f"{m[0]:.0f} to {m[-1]:.0f}", f"{low:.0f} to {high:.0f}"
    return tokens, energies, f"{ratio:.1f} x", by_curve, power


def sentence(rows: pa.Table) -> str:
    """What the figure proves of one GPU, in measured numbers."""
    points = trusted_points(rows)
    head = where(points, operator="lm_head")
    m = head["num_tokens"].to_numpy()
    power = {
        name: np.median(where(points, operator=name)["power_w"])
        for name in points["operator"].unique().to_pylist()
    }
    low, high = min(power, key=power.__getitem__), max(power, key=power.__getitem__)
    return (
        f"{rows['accelerator'][0].as_py()}: energy per token is not constant: of the LM "
        f"head it falls {_ends(head)[2]:.0f} times from {m[0]:.0f} to {m[-1]:.0f} tokens. "
        f"Time is not a proxy for energy: a second of {low.replace('_', ' ')} costs "
        f"{power[low]:.0f} J, of {high.replace('_', ' ')} {power[high]:.0f} J, "
        f"{100 * (power[high] / power[low] - 1):.0f}% more."
    )


def trusted_points(rows: pa.Table) -> pa.Table:
    """Points with energy, by tokens."""
    is_point = rows["kind"].to_numpy() != CURVE
    known = ~np.asarray(rows["energy_j"].is_null())
    return rows.filter(pa.array(is_point & known)).sort_by("num_tokens")


def _ends(rows: pa.Table) -> tuple[float, float, float]:
    """Joules a token at the smallest and the largest batch, and their ratio."""
    per_token = rows["energy_j"].to_numpy() / rows["num_tokens"].to_numpy()
    return per_token[0], per_token[-1], per_token[0] / per_token[-1]


def draw(rows: pa.Table, settings: Settings) -> Figure:
    """A column an operator; rows are time, energy and power, of one layer."""
    figure, grid = new_figure(14, 6.6, 3, len(OPERATORS), sharex=True, sharey="row")
    for operator, column in zip(OPERATORS, grid.T, strict=True):
        for axes, quantity in zip(column, _QUANTITIES, strict=True):
            _draw_panel(axes, where(rows, operator=operator), quantity, settings)
        column[0].set_title(OPERATORS[operator], fontsize="medium", loc="left")
        column[-1].set_xlabel("tokens in the batch")
    for axes, text in zip(grid[:, 0], _QUANTITIES.values(), strict=True):
        axes.set_ylabel(text)
    for axes in grid[1]:
        _draw_constant(axes, settings.largest_batch)
    grid[2, 0].set_ylim(bottom=0)
    note = "dotted: constant energy a token"
    grid[1, 0].text(0.05, 0.05, note, fontsize="x-small", transform=grid[1, 0].transAxes)
    grid[0, 0].legend(handles=_legend(settings), frameon=False, fontsize="small")
    return figure


def _draw_panel(axes, rows: pa.Table, quantity: str, settings: Settings) -> None:
    shown = settings.accelerators if quantity == "latency_s" else settings.metered
    for accelerator in shown:
        i = settings.accelerators.index(accelerator)
        style = {"color": _COLOURS[i], "marker": _MARKERS[i], **_POINT}
        of_gpu = where(rows, accelerator=accelerator)
        for kind, fill in ((MEASURED, "full"), (ASSEMBLED, "none")):
            part = where(of_gpu, kind=kind)
            values = part[quantity].to_numpy(zero_copy_only=False).astype(float)
            axes.plot(part["num_tokens"], values, fillstyle=fill, **style)
        curve = where(of_gpu, kind=CURVE)
        axes.plot(curve["num_tokens"], curve[quantity], color=_COLOURS[i], linewidth=1.3)
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 16, 256, 4096], ["1", "16", "256", "4096"])
    axes.set_yscale("linear" if quantity == "power_w" else "log")
    tidy(axes)


def _draw_constant(axes, largest: float) -> None:
    """Lines of constant energy a token."""
    limits = axes.get_ylim()
    for each in np.logspace(-9, 1, 11):
        axes.plot([1, largest], [each, each * largest], ":", color="#BBBBBB", linewidth=0.7)
    axes.set_ylim(*limits)


def _legend(settings: Settings) -> list[Line2D]:
    gpus = [
        Line2D([], [], color=_COLOURS[i], marker=_MARKERS[i], markersize=4, label=name)
        for i, name in enumerate(settings.accelerators)
    ]
    hollow = {"color": "black", "marker": "o", "fillstyle": "none", "markersize": 4}
    return [*gpus, Line2D([], [], linestyle="", label="of other calls", **hollow)]


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


if __name__ == "__main__":
    main()
