"""No split lets a fit see what judges it."""

import numpy as np
import pytest

from carbjax._fitting import splits


def _sizes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0], 100)


def _all(size: np.ndarray) -> list[splits.Split]:
    return [
        splits.shuffled(len(size)),
        splits.interpolation(size),
        splits.extrapolation(size),
        splits.unseen_shapes(size, size[::-1]),
        splits.held_out_lines(size),
    ]


@pytest.mark.parametrize("split", _all(_sizes()), ids=lambda split: split.name)
def test_a_row_is_either_seen_or_judged(split):
    assert not split.is_empty
    for train, test in split.folds:
        np.testing.assert_array_equal(train, ~test)


def test_shuffled_folds_judge_every_row_once_and_follow_the_seed():
    tests = [test for _, test in splits.shuffled(33, seed=1).folds]
    np.testing.assert_array_equal(np.sum(tests, axis=0), np.ones(33))
    again, other = splits.shuffled(33, seed=1), splits.shuffled(33, seed=2)
    np.testing.assert_array_equal(again.folds[0][1], tests[0])
    assert any((a[1] != b[1]).any() for a, b in zip(again.folds, other.folds, strict=True))


@pytest.mark.parametrize("split_fn", [splits.interpolation, splits.held_out_lines])
def test_a_size_is_held_out_whole(split_fn):
    size = _sizes()
    ((train, test),) = split_fn(size).folds
    assert not set(size[train]) & set(size[test])


@pytest.mark.parametrize("num_sizes", [9, 10])
@pytest.mark.parametrize("offset", [0, 1])
def test_interpolation_judges_between_what_was_seen(num_sizes, offset):
    size = np.arange(float(num_sizes))
    ((train, test),) = splits.interpolation(size, offset=offset).folds
    assert size[train].min() < size[test].min() and size[test].max() < size[train].max()


def test_extrapolation_judges_beyond_what_was_seen():
    size = _sizes()
    ((train, test),) = splits.extrapolation(size).folds
    assert size[train].max() < size[test].min()
    assert train.sum() <= 0.7 * len(size)


def test_a_shape_is_held_out_whole_and_each_offset_holds_out_another():
    n, k = (grid.reshape(-1) for grid in np.meshgrid(np.arange(5.0), np.arange(6.0)))
    n, k = np.tile(n, 3), np.tile(k, 3)
    chosen = [splits.unseen_shapes(n, k, offset=i).folds[0][1] for i in range(5)]
    np.testing.assert_array_equal(np.sum(chosen, axis=0), np.ones(len(n)))
    shapes = [set(zip(n[rows], k[rows], strict=True)) for rows in chosen]
    assert all(len(shape) == 6 for shape in shapes)


def test_a_single_size_leaves_nothing_to_judge_by():
    assert splits.interpolation(np.full(10, 64.0)).is_empty
    assert splits.extrapolation(np.full(10, 64.0)).is_empty
