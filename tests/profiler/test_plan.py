"""The plan is the grid that docs/profiler.md states, in a random order with anchors."""

from collections import Counter

import pytest

from carbjax._errors import ConfigError
from carbjax._hardware import MODELS, accelerator, model
from carbjax._profiler import LayerShape, Protocol, Rates, estimate, make_plan
from carbjax._profiler.estimate import parts, traffic
from carbjax._profiler.point import Point, features

SHAPE = LayerShape.of(model("llama-3.1-8b"))
PLAN = make_plan(SHAPE)
BLOCKS = {
    "idle": 3,
    "calibration": 8,
    "mlp": 26,
    "projections": 16,
    "prefill": 10,
    "decode": 14,
    "elementwise": 10,
    "layer": 8,
    "anchor": 4,
}
COLUMNS = "num_tokens prefill_tokens prefill_pairs prefill_kv decode_tokens decode_kv"


def _per_request(point):
    """The table of the design, request by request and pair by pair."""
    total = Counter()
    if point.chunk:
        total["num_tokens"] = total["prefill_tokens"] = point.chunk
        total["prefill_kv"] = point.cached + point.chunk
        total["prefill_pairs"] = sum(point.cached + i + 1 for i in range(point.chunk))
    for context in point.contexts:
        total.update(num_tokens=1, decode_tokens=1, decode_kv=context)
        total["decode_kv_sq"] += context**2
    return total


def test_it_has_99_points_in_the_blocks_of_the_protocol():
    assert len(PLAN) == 99
    assert PLAN.by_block == BLOCKS
    once = [p.label for p in PLAN.points if not p.is_repeat]
    assert len(set(once)) == 95


@pytest.mark.parametrize("name", ["llama-3.1-8b", "llama-3.1-70b", "qwen3-8b"])
def test_features_are_sums_over_the_requests(name):
    shape = LayerShape.of(model(name), 4)
    for point in make_plan(shape).points:
        found = features(point, shape)
        if point.chunk or point.contexts:
            expected = _per_request(point)
            for column in (*COLUMNS.split(), "decode_kv_sq"):
                assert found.get(column, 0) == expected[column], (point.label, column)
            assert found["num_heads"] == model(name).num_heads / 4
        if point.operator == "gemm":
            assert (found["num_tokens"], found["n"], found["k"]) == (
                point.rows,
                point.columns,
                point.depth,
            )


def test_idle_comes_at_start_middle_and_end_and_anchors_every_20_points():
    at = [i for i, p in enumerate(PLAN.points) if p.kind == "idle"]
    assert (at[0], at[2]) == (0, 98) and 45 <= at[1] <= 53
    loads = [p for p in PLAN.points if p.kind != "idle"]
    assert [i for i, p in enumerate(loads) if p.is_repeat] == [20, 41, 62, 83]
    assert len({p.operator for p in loads if p.is_repeat}) == 3


def test_the_order_is_the_seeds():
    assert make_plan(SHAPE, seed=1).points == make_plan(SHAPE, seed=1).points
    assert make_plan(SHAPE, seed=1).points != make_plan(SHAPE, seed=2).points


def test_skewed_batches_hold_as_many_tokens_as_an_even_one():
    kv = {p.label: features(p, SHAPE) for p in PLAN.points if p.block == "decode"}
    even = kv["decode 32 of 2048"]
    skewed = [f for f in kv.values() if f["decode_tokens"] == 32 and f is not even]
    same = [f for f in skewed if f["decode_kv"] == even["decode_kv"]]
    assert len(same) == 2
    assert all(f["decode_kv_sq"] > 1.3 * even["decode_kv_sq"] for f in same)


@pytest.mark.parametrize("name", ["a100-sxm", "h200-sxm", "b200-sxm", "rtx-pro-6000"])
def test_it_takes_less_than_eight_minutes(name):
    expected = estimate(PLAN, Rates.of(accelerator(name)), Protocol())
    assert 4.8 < expected.minutes < 8.0


def test_the_parts_of_a_layer_are_its_weights_once():
    layer = Point("layer", "layer", "layer", chunk=16, contexts=(32,) * 4)
    flops = sum(traffic(p, SHAPE)[1] for p in parts(layer, SHAPE) if p.kind == "gemm")
    shipped = model("llama-3.1-8b")
    embeddings = 2 * shipped.vocab_size * shipped.hidden_size
    weights = (shipped.num_parameters - embeddings) / shipped.num_layers
    assert flops == 2 * 20 * weights


@pytest.mark.parametrize("name", MODELS)
def test_every_shipped_model_has_a_plan(name):
    assert len(make_plan(LayerShape.of(model(name)))) == 99


def test_a_degree_that_splits_no_head_is_refused():
    with pytest.raises(ConfigError, match="cannot split llama-3.1-8b.*such as 1"):
        LayerShape.of(model("llama-3.1-8b"), 3)


def test_an_unknown_block_is_refused():
    with pytest.raises(ConfigError, match="no block 'mpl'.*elementwise"):
        make_plan(SHAPE, blocks=["mpl"])
