"""A workload is checked once, on construction, and keeps its labels through selection."""

import datetime as dt

import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._errors import WorkloadError
from carbjax._workload import Workload

NOON = dt.datetime(2024, 5, 10, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))


def labelled() -> Workload:
    return Workload(
        [0.5, 0.0, 2.0, 1.0],
        [10, 0, 30, 40],
        [1, 0, 3, 4],
        player=[0, 1, 0, 2],
        epoch=NOON,
        request_ids=("a", "b", "c", "d"),
        player_names=("x", "y", "z"),
    )


def test_arrays_are_64_bit_on_the_host_whatever_they_came_as():
    for kind in (list, np.float32, np.int16, jnp.asarray):
        values = [1, 2] if kind is list else kind(np.asarray([1, 2]))
        w = Workload(values, values, values)
        assert isinstance(w.arrival_s, np.ndarray) and w.arrival_s.dtype == np.float64
        assert w.num_prefill_tokens.dtype == w.num_decode_tokens.dtype == np.int64


def test_each_request_is_a_player_by_default():
    w = Workload([0.0, 1.0], [1, 2], [3, 4])
    np.testing.assert_array_equal(w.player, [0, 1])
    assert (w.num_requests, w.num_players, w.epoch) == (2, 2, None)


def test_the_epoch_is_kept_in_utc():
    assert labelled().epoch == NOON
    assert labelled().epoch.tzinfo is dt.UTC


def test_null_requests_do_not_start_the_clock():
    w = labelled()
    np.testing.assert_array_equal(w.is_null, [False, True, False, False])
    assert w.start_s == 0.5
    assert np.isnan(Workload([3.0], [0], [0]).start_s)


@pytest.mark.parametrize(
    "chosen", [slice(1, 3), np.asarray([False, True, True, False])], ids=["slice", "mask"]
)
def test_selection_keeps_order_labels_and_renumbers_players(chosen):
    w = labelled().select(chosen)
    np.testing.assert_array_equal(w.arrival_s, [0.0, 2.0])
    np.testing.assert_array_equal(w.player, [1, 0])
    assert w.player_names == ("x", "y") and w.request_ids == ("b", "c")
    assert w.epoch == NOON


def test_by_request_makes_every_request_a_player_with_its_own_name():
    w = labelled().by_request()
    np.testing.assert_array_equal(w.player, np.arange(4))
    assert w.player_names == ("a", "b", "c", "d")


def test_with_tokens_changes_lengths_alone():
    w = labelled().with_tokens([1, 2, 3, 4], [5, 6, 7, 8])
    np.testing.assert_array_equal(w.num_prefill_tokens, [1, 2, 3, 4])
    np.testing.assert_array_equal(w.player, labelled().player)
    assert w.request_ids == labelled().request_ids


GOOD = dict(arrival_s=[0.0, 1.0], num_prefill_tokens=[1, 2], num_decode_tokens=[3, 4])


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(arrival_s=[], num_prefill_tokens=[], num_decode_tokens=[]), "at least one"),
        (dict(arrival_s=[[0.0], [1.0]]), "shape"),
        (dict(arrival_s=[0.0, float("nan")]), r"arrival_s\[1\]` is nan"),
        (dict(arrival_s=[float("inf"), 0.0]), r"arrival_s\[0\]` is inf"),
        (dict(arrival_s=["0", "1"]), "arrival_s` holds"),
        (dict(num_prefill_tokens=[1]), "num_prefill_tokens` has shape"),
        (dict(num_prefill_tokens=[1, -2]), r"\[1\]` is -2, which is negative"),
        (dict(num_decode_tokens=[1.5, 2]), r"\[0\]` is 1.5, which is not a whole"),
        (dict(num_decode_tokens=[1, float("nan")]), "not finite"),
        (dict(num_decode_tokens=[1, 2**31]), "beyond 2147483647"),
        (dict(num_decode_tokens=[True, False]), "holds bool"),
        (dict(player=[0, 2]), "no request for player 1"),
        (dict(player=[0, -1]), "negative"),
        (dict(player=[0]), "player` has shape"),
        (dict(epoch=dt.datetime(2024, 1, 1)), "no time zone"),
        (dict(request_ids=("a",)), "1 labels for 2"),
        (dict(player_names=("a", "b", "c")), "3 labels for 2"),
    ],
)
def test_malformed_workloads_are_refused_by_name(change, message):
    with pytest.raises(WorkloadError, match=message):
        Workload(**{**GOOD, **change})


def test_an_empty_selection_is_refused():
    with pytest.raises(WorkloadError, match="no request was selected"):
        labelled().select(slice(0, 0))


def test_the_largest_count_is_allowed():
    largest = 2**31 - 1
    assert Workload([0.0], [largest], [largest]).num_prefill_tokens[0] == largest
