"""Errors on held-out rows: the surrogate beside Vidur's random forest."""

import dataclasses as dc
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

import carbjax as cj
from benchmarks._decode_table import fit_decode_table
from benchmarks._forest import Matrix, forest_predictions, rounded_tokens
from carbjax._fitting import splits as sp
from carbjax._fitting.axes import cached, chunks, contexts
from carbjax._fitting.recipes import tasks
from carbjax._fitting.record import gpu_facts
from carbjax._fitting.report import Errors, errors
from carbjax._fitting.token_fit import fit_token_spline
from carbjax._hardware import accelerator

Floats = Float[np.ndarray, " rows"]

DENSE = (
    "attn_pre_proj",
    "attn_post_proj",
    "mlp_up_proj",
    "mlp_down_proj",
    "mlp_act",
    "input_layernorm",
    "attn_rope",
    "add",
)
LAYER = (*DENSE, "post_attention_layernorm")
_MLP = "vidur/compute/a100/meta-llama/Meta-Llama-3-8B/mlp.csv"
_ATTENTION = "vidur/history_2024_05/a100_attention_64q8kv_tp2.csv.gz"
_GEMM = "aiconfigurator/h200_sxm/gemm.csv.gz"
_MIXED = "llmservingsim/rtxpro6000_llama31_8b_tp1/attention.csv"
SEED = 0


@dc.dataclass(frozen=True)
class Comparison:
    """Both on the same held-out rows; errors in percent."""

    quantity: str
    split: str
    forest: Errors
    ours: Errors


@dc.dataclass(frozen=True)
class Predicted:
    """The held-out rows of a split, as measured and as either says."""

    measured: Floats
    forest: Floats
    ours: Floats

    def compare(self, quantity: str, split: str) -> Comparison:
        by_forest = errors(self.forest, self.measured)
        return Comparison(quantity, split, by_forest, errors(self.ours, self.measured))


def comparisons(data: pathlib.Path) -> Iterator[Comparison]:
    """All of them, one after the other; the whole takes minutes."""
    mlp = cj.read_profile(data / _MLP)
    for degree in (1, 2):
        yield from dense(mlp.select(mlp.tensor_parallel == degree), degree)
    yield from all_degrees(mlp.of_operator("gemm"))
    yield from products(cj.read_profile(data / _GEMM))
    attention = cj.read_profile(data / _ATTENTION)
    yield from prefill(attention.of_operator("prefill_attention"))
    yield from decode(attention.of_operator("decode_attention"))
    yield from mixed(cj.read_profile(data / _MIXED, model="llama-3.1-8b"))


def dense(rows: cj.Profile, degree: int) -> Iterator[Comparison]:
    """Operators that depend on tokens alone: the mean over the eight, and a layer.

    The layer is the sum of all nine; `degree` is that of tensor parallelism.
    """
    calls = {label: rows.select(rows.label == label) for label in LAYER}
    tokens = next(iter(calls.values())).num_tokens
    for split in (sp.interpolation(tokens), sp.extrapolation(tokens)):
        ((train, test),) = split.folds
        found = {}
        for label, each in calls.items():
            by_forest = forest_predictions(rounded_tokens(tokens), each.latency_s, train)
            ours = token_predictions(each, train)
            found[label] = Predicted(each.latency_s[test], by_forest[test], ours[test])
        eight = [found[label].compare(label, split.name) for label in DENSE]
        where = f"A100 TP {degree}"
        yield Comparison(
            f"mean of eight operators, a curve each, {where}",
            split.name,
            _mean([each.forest for each in eight]),
            _mean([each.ours for each in eight]),
        )
        yield _together(list(found.values())).compare(f"whole layer, {where}", split.name)


def all_degrees(rows: cj.Profile) -> Iterator[Comparison]:
    """Products at four degrees of tensor parallelism, by one surrogate of all shapes.

    A forest for each of the 16 shapes, as Vidur has.
    """
    for split in (sp.interpolation(rows.num_tokens), sp.extrapolation(rows.num_tokens)):
        ((train, test),) = split.folds
        by_forest = np.zeros(len(rows))
        for n, k in np.unique(np.stack([rows.n, rows.k], axis=1), axis=0):
            same = (rows.n == n) & (rows.k == k)
            tokens, latency = rounded_tokens(rows.num_tokens[same]), rows.latency_s[same]
            by_forest[same] = forest_predictions(tokens, latency, train[same])
        ours = _ours(rows, train, "a100-sxm")
        found = Predicted(rows.latency_s[test], by_forest[test], ours[test])
        yield found.compare("16 products by one surrogate, A100", split.name)


def products(rows: cj.Profile) -> Iterator[Comparison]:
    """Matrix products of shapes that a fit has not seen, as large as a model's."""
    large = (rows.weight > 0) & (np.minimum(rows.n, rows.k) >= 512)
    rows = rows.select(large)
    features = np.stack([rows.num_tokens, rows.n, rows.k], axis=1)
    for offset in (0, 3):
        split = sp.unseen_shapes(rows.n, rows.k, offset=offset)
        name = f"{split.name}, offset {offset}"
        yield _both("matrix products, H200", rows, features, "h200-sxm", split, name)


def prefill(rows: cj.Profile) -> Iterator[Comparison]:
    """Prefill attention by the size of the chunk, and by its FLOPs."""
    features = np.stack([cached(rows), chunks(rows) ** 2], axis=1)
    for split, name in _splits(chunks(rows), rows.prefill_flops):
        yield _both("prefill attention, A100", rows, features, "a100-sxm", split, name)


def decode(rows: cj.Profile) -> Iterator[Comparison]:
    """Decode attention by the context, and by the bytes read."""
    features = np.stack([rows.decode_tokens, contexts(rows)], axis=1)
    for split, name in _splits(contexts(rows), rows.decode_bytes):
        found = _both("decode attention, A100", rows, features, "a100-sxm", split, name)
        yield found
        ((train, test),) = split.folds
        table = fit_decode_table(rows, train)(rows)[test]
        by_table = errors(table, rows.latency_s[test])
        quantity = "decode attention by a table, A100"
        yield dc.replace(found, quantity=quantity, ours=by_table)


def mixed(rows: cj.Profile) -> Iterator[Comparison]:
    """Batches of a chunk and decode requests, at contexts that no fit has seen."""
    is_mixed = rows.operator == "mixed_attention"
    for offset in (1, 2):
        split = sp.held_out_lines(contexts(rows.select(is_mixed)), offset=offset)
        unseen = np.unique(contexts(rows.select(is_mixed))[split.folds[0][1]])
        test = np.isin(contexts(rows), unseen) & (rows.decode_tokens > 0)
        train, judged = ~test, test & is_mixed
        by_forest = forest_predictions(_batch(rows), rows.latency_s, train)
        ours = _ours(rows, train, "rtx-pro-6000")
        found = Predicted(rows.latency_s[judged], by_forest[judged], ours[judged])
        name = f"{split.name}, offset {offset}"
        yield found.compare("mixed-batch attention, RTX PRO 6000", name)


def _splits(size: Floats, work: Floats) -> Iterator[tuple[sp.Split, str]]:
    """Either half of the sizes held out, and the largest work."""
    for offset in (1, 0):
        yield sp.interpolation(size, offset=offset), f"interpolation, offset {offset}"
    yield sp.extrapolation(work), "extrapolation"


def _together(parts: list[Predicted]) -> Predicted:
    """The sums of several operators at the same tokens."""
    return Predicted(
        np.sum([part.measured for part in parts], axis=0),
        np.sum([part.forest for part in parts], axis=0),
        np.sum([part.ours for part in parts], axis=0),
    )


def token_predictions(rows: cj.Profile, train: sp.Rows) -> Floats:
    """Seconds of an operator that depends on tokens alone, by a curve of its own."""
    curve = fit_token_spline(rows.num_tokens, rows.latency_s, train)
    return np.asarray(curve.latency(rows.num_tokens))


def _ours(rows: cj.Profile, train: sp.Rows, gpu: str) -> Floats:
    facts = gpu_facts(accelerator(gpu))
    (task,) = tasks(rows, facts)
    return np.asarray(task.latency(task.fit(facts, train, SEED)))


def _both(
    quantity: str,
    rows: cj.Profile,
    features: Matrix,
    gpu: str,
    split: sp.Split,
    name: str,
) -> Comparison:
    ((train, test),) = split.folds
    by_forest = forest_predictions(features, rows.latency_s, train)
    found = Predicted(rows.latency_s[test], by_forest[test], _ours(rows, train, gpu)[test])
    return found.compare(quantity, name)


def _batch(rows: cj.Profile) -> Matrix:
    columns = (chunks(rows), cached(rows), rows.decode_tokens, contexts(rows))
    return np.stack(columns, axis=1)


def _mean(all_errors: list[Errors]) -> Errors:
    mape, median, p95, bias = np.mean([each[:-1] for each in all_errors], axis=0).tolist()
    return Errors(mape, median, p95, bias, all_errors[0].rows)
