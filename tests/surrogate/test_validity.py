"""What lies beyond the measurements of a fit is said, and nothing else is."""

import dataclasses as dc
import warnings

import pytest

import carbjax as cj
from carbjax._hardware import tables
from carbjax._surrogate import outside_box
from carbjax._surrogate.parameter_files import available_accelerators, load_record

BOX = {
    "validity": {
        "num_tokens": [1, 4096],
        "prompt_tokens": [16, 2048],
        "context_tokens": [1, 10000],
        "num_sequences": [1, 100],
        "tensor_parallel": [1, 2],
        "gemm_columns_and_depth": [1024, 30000],
    }
}
INSIDE = dict(max_num_batched_tokens=2048, max_num_seqs=100, max_context=10000)


def test_the_edge_of_the_box_is_inside():
    assert outside_box(BOX, **INSIDE) == ()
    at_the_edge = dict(longest_prompt=2048, whole_prompts=True, tensor_parallel=2)
    assert outside_box(BOX, **INSIDE | at_the_edge) == ()


@pytest.mark.parametrize(
    "change, line",
    [
        ({"max_num_batched_tokens": 2049}, "prefill chunks up to 2049 tokens"),
        ({"max_num_seqs": 101}, "batches up to 101 requests asked, fitted to 100"),
        ({"max_context": 10001}, "contexts up to 10001 tokens asked, fitted to 10000"),
        ({"tensor_parallel": 4}, "tensor parallelism of 4 GPUs asked, fitted to 2"),
        ({"longest_prompt": 3000, "whole_prompts": True}, "chunks up to 3000 tokens"),
    ],
)
def test_one_step_beyond_the_box_is_one_line(change, line):
    (found,) = outside_box(BOX, **INSIDE | change)
    assert line in found


def test_many_short_prompts_may_overfill_an_iteration_but_not_a_chunk():
    caps = INSIDE | dict(max_num_batched_tokens=8192, longest_prompt=500)
    (found,) = outside_box(BOX, **caps)
    assert found == "iterations up to 8192 tokens asked, fitted to 4096"
    assert outside_box(BOX, **caps, num_requests=8) == ()


def test_caps_that_a_small_workload_cannot_reach_are_not_asked_for():
    caps = dict(max_num_batched_tokens=10**6, max_num_seqs=10**6, max_context=300)
    assert len(outside_box(BOX, **caps)) == 2
    assert outside_box(BOX, **caps, longest_prompt=100, num_requests=10) == ()


def test_products_of_another_size_than_measured_are_said():
    medium, large = tables.model("llama-3.1-8b"), tables.model("llama-3.1-405b")
    small = dc.replace(medium, hidden_size=512)
    assert outside_box(BOX, **INSIDE, model=medium) == ()
    for model, sizes in ((small, "512 to 28672"), (large, "16384 to 106496")):
        (found,) = outside_box(BOX, **INSIDE, model=model)
        assert f"{sizes} columns or depth asked, fitted from 1024 to 30000" in found
    assert outside_box(BOX, **INSIDE, model=medium, tensor_parallel=4) != ()


def test_a_shipped_name_means_its_file_and_an_unknown_one_has_no_box():
    wide = dict(max_num_batched_tokens=10**6, max_num_seqs=10**6, max_context=10**6)
    for name in available_accelerators():
        assert outside_box(name, **wide) == outside_box(load_record(name), **wide)
        assert len(outside_box(name, **wide)) == 4
    assert outside_box("my-own-gpu", **wide) == ()


def test_the_box_of_mixed_batches_is_that_of_its_measurement():
    ask = dict(max_num_seqs=256, max_context=16384, model=tables.model("llama-3.1-8b"))
    assert outside_box("rtx-pro-6000", max_num_batched_tokens=2048, **ask) == ()
    lines = outside_box("rtx-pro-6000", max_num_batched_tokens=8192, **ask)
    assert any("prefill chunks up to 8192" in line for line in lines)
    assert outside_box("h200-sxm", max_num_batched_tokens=8192, **ask) == ()


def test_asking_outside_the_box_warns_once_and_always_flags():
    workload = cj.Workload([0.0], [600_000], [7])
    system = cj.System.load(kv_capacity_tokens=700_000)
    with pytest.warns(cj.ExtrapolationWarning, match="contexts up to 600007 tokens"):
        first = system.flags(workload)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert system.flags(workload) == first
    assert any("600007" in line for line in first)


def test_inside_the_box_nothing_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cj.System.load().flags(cj.Workload([0.0], [100], [7])) == ()
