"""Methods that break one axiom each are caught, with a small example; sound ones pass."""

import numpy as np
import pytest

from carbjax._attribution.methods import find_method
from carbjax._criteria.axiom_bench import Bench
from carbjax._criteria.axioms import AXIOMS, check_axioms
from carbjax._criteria.shrink import Gap, shrink
from carbjax._criteria.small_workloads import Request, size_of, to_workload, units_of
from carbjax._serving.serve import serve
from carbjax._workload import Workload
from tests.criteria import sinners

SYSTEM = sinners.tiny_system()


def _checked(method, *axioms):
    axioms = axioms or tuple(AXIOMS)
    return check_axioms(method, system=SYSTEM, axioms=axioms, num_workloads=2)


@pytest.mark.parametrize(
    "method, axiom",
    [
        (sinners.equal_split, "null_player"),
        (sinners.first_pays_more, "symmetry"),
        (sinners.too_cheap, "efficiency"),
        (sinners.does_not_close, "closure"),
    ],
)
def test_a_broken_axiom_is_named(method, axiom):
    found = _checked(method, "null_player", "symmetry", "efficiency", "closure")
    assert found.broken == (axiom,)
    violation = found[axiom]
    assert violation.grams > 0 and violation.example_gap.relative > 1e-4
    small = violation.example
    assert small.num_requests <= 2
    assert (small.num_prefill_tokens + small.num_decode_tokens).max() <= 4


def test_the_example_shows_what_is_said_of_it():
    """Done by hand: serve the example, and look at what the null player pays."""
    violation = _checked(sinners.equal_split, "null_player")["null_player"]
    example = violation.example
    timeline = serve(example, SYSTEM)
    shares = sinners.equal_split(None, workload=example, timeline=timeline).shares
    assert example.is_null[-1]
    assert shares[-1] == pytest.approx(violation.example_gap.grams, rel=1e-9)


def test_tokens_are_not_linear_and_keep_the_rest():
    found = _checked(sinners.by_tokens)
    linear = {axiom for axiom in AXIOMS if axiom.startswith("linearity")}
    assert set(found.broken) == linear and found.route == "timeline"
    assert all(found[axiom].example.num_requests <= 6 for axiom in linear)


def test_the_shapley_value_keeps_all():
    found = _checked("shapley")
    assert found.broken == () and found.route == "game"
    assert all(found[axiom].num_workloads for axiom in AXIOMS)
    assert not any(game.broken for game in found.games.values())


def test_leave_one_out_is_not_efficient():
    found = _checked("leave_one_out", "efficiency", "linearity_traces")
    assert found.broken == ("efficiency",)
    game = found.games["efficiency"]
    assert game.broken and len(game.values) == 4
    whole, *rest = game.values[[3, 1, 2, 0]]
    assert 2 * whole - sum(rest[:2]) != pytest.approx(whole - rest[2])


def test_streaming_serves_the_runs_itself():
    found = _checked("streaming", "linearity_iterations", "linearity_fleet")
    assert found.route == "run" and found.broken == ()
    assert found["linearity_iterations"].num_workloads
    fleet = found["linearity_fleet"]
    assert fleet.num_workloads == 0 and np.isnan(fleet.grams) and fleet.note


@pytest.mark.parametrize("sin", [s for s in sinners.SINS if s != "open"])
def test_a_method_that_cannot_be_judged_is_refused(sin):
    found = _checked(sinners.SINS[sin])
    assert (
        found.refusal.sin == sin and not found.violations and sin not in str(found.broken)
    )


def test_refused_workloads_are_counted_and_left_out():
    """Prompts alone have no answer token to pay by."""
    prompts = Workload([0.0, 0.1], [50, 60], [0, 0])
    answers = Workload([0.0, 0.1], [50, 60], [9, 8])
    found = check_axioms(
        "energy_per_token",
        system=SYSTEM,
        workloads=[prompts, answers],
        axioms=("efficiency",),
    )
    assert found["efficiency"].num_workloads == 1
    assert "answer" in found["efficiency"].note


def test_shrinking_ends_at_the_least_that_shows_it():
    """More than ten prompt tokens in all show it: one request of 11 to 21 is left."""
    units = tuple((Request(0.1, 40, 7),) for _ in range(4))

    def measure(candidate):
        tokens = sum(r.prefill for unit in candidate for r in unit)
        return Gap(float(tokens), 1.0 if tokens > 10 else 0.0)

    small, gap = shrink(units, measure, Gap(160.0, 1.0), tolerance=0.5, fewest=1)
    (((arrival, prefill, decode),),) = small
    assert 10 < prefill <= 20 and decode == 1 and arrival == 0.0
    assert gap.grams == prefill and size_of(small) == (1, prefill + 1)


def test_units_and_workloads_are_one_thing():
    workload = Workload([3.0, 1.0, 2.0], [5, 6, 7], [1, 2, 3], player=[1, 0, 1])
    units = units_of(workload)
    again = to_workload(units, None)
    assert units[1] == (Request(3.0, 5, 1), Request(2.0, 7, 3))
    np.testing.assert_array_equal(again.player, [0, 1, 1])


def test_what_a_method_looks_at():
    def half(game, *, workload=None, system=None, timeline=None, key=None):
        return find_method("streaming")(None, workload=workload, system=system)

    assert Bench(sinners.by_tokens, SYSTEM, None).route == "timeline"
    assert Bench(half, SYSTEM, None).route == "run"
    assert Bench("shapley", SYSTEM, None).route == "game"
    # Its totals alone are the timeline's.
    assert Bench("replay", SYSTEM, None).route == "run"
