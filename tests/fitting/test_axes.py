"""Sizes come back from the sums that a profile holds."""

import numpy as np
import pytest

from carbjax._fitting import axes
from carbjax._fitting.series import longest_lines
from carbjax._profiles.profile import Profile
from tests import made_up_profiles as profiles


def _prompts(count: float, new: np.ndarray, old: np.ndarray) -> Profile:
    pairs = count * (new * old + new * (new + 1) / 2)
    columns = {"prefill_pairs": pairs, "prefill_kv": count * (new + old)}
    return Profile.of(
        "prefill_attention", np.ones(len(new)), num_tokens=count * new, **columns
    )


@pytest.mark.parametrize("count", [1.0, 3.0, 64.0])
def test_chunks_and_cached_tokens_are_found_from_their_sums(count):
    new, old = (np.array(x) for x in ([1.0, 7, 512, 8192], [0.0, 5, 4096, 100]))
    rows = _prompts(count, new, old)
    np.testing.assert_array_equal(axes.chunks(rows), new)
    np.testing.assert_array_equal(axes.cached(rows), old)


def test_calls_on_a_line_differ_in_size_alone():
    for rows in (profiles.gemms(), profiles.prefills(), profiles.decodes()):
        found = axes.axes_of(rows)
        for line in np.unique(found.line):
            size = found.size[found.line == line]
            assert len(size) > 1 and len(np.unique(size)) == len(size)


def test_lines_are_told_apart_by_their_numbers_and_sorted_by_size():
    group = np.repeat(np.array(["a 10", "a 9", "a 100", "a 2", "a 30"]), 4)
    size = np.tile([3.0, 1.0, 2.0, 4.0], 5)
    labels, rows = zip(*longest_lines(group, size, most=3), strict=True)
    assert labels == ("a 2", "a 10", "a 100")
    for line in rows:
        np.testing.assert_array_equal(size[line], [1, 2, 3, 4])


def test_short_lines_are_left_out():
    group, size = np.array(["a"] * 6 + ["b"]), np.arange(7.0)
    assert [label for label, _ in longest_lines(group, size)] == ["a"]
