"""Each experiment at its smallest: what must hold of its numbers whatever they are."""

import dataclasses

import numpy as np
import pytest

import carbjax as cj
from experiments import (
    distance_drivers,
    distances,
    four_criteria,
    games,
    incentive_curves,
    long_generation,
    operational_embodied,
    tenants,
    time_of_day,
)
from experiments.workbench.settings import config_path, read_settings
from experiments.workbench.tables import to_table, where
from tests.criteria.sinners import tiny_system

# Four of every cut, so that programs are shared.
LENGTHS = [700, 90, 1500, 300], [20, 60, 7, 30]
TRACE = cj.Workload([0.0, 0.05, 0.3, 0.6], *LENGTHS)
FEW = ("shapley", "streaming", "tokens")


@pytest.fixture(autouse=True)
def _small_machine(monkeypatch):
    """Scripts load a machine that compiles quickly, whatever they ask for."""

    def load(accelerator, model, **settings):
        return dataclasses.replace(tiny_system(), **settings)

    monkeypatch.setattr(cj.System, "load", load)


def settings_of(script, **changes):
    settings = read_settings(script.Settings, config_path(script.NAME))
    return settings._replace(**changes)


def test_the_truth_is_at_no_distance_from_itself():
    policies = ("chunked_prefill",)
    loads = {"as recorded": 1.0, "at once": np.inf}
    settings = settings_of(
        distances, num_cuts=1, sizes=(4,), policies=policies, loads=loads
    )
    rows = distances.measure(TRACE, settings._replace(omitted=_all_but(FEW)))
    assert len(rows) == len(FEW) * len(loads)
    assert not where(rows, method="shapley")["distance"].to_numpy().any()
    near, far = (
        where(rows, method=name)["distance"].to_numpy() for name in ("streaming", "tokens")
    )
    assert (0 < near).all() and (near < far).all()
    distances.draw(rows, settings)


def _all_but(methods):
    return tuple(name for name in cj.methods() if name not in methods)


def test_one_at_a_time_both_games_are_one():
    alone = cj.Workload(100.0 * np.arange(4), *LENGTHS)
    _, apart, _, to_truth = games.compare(alone, tiny_system())
    assert apart < 1e-9 and to_truth < 1e-6
    settings = settings_of(games, policies=("chunked_prefill",), loads=(3.0, np.inf))
    rows = to_table(games.measure(TRACE, settings._replace(num_cuts=1, num_requests=4)))
    assert where(rows, load=3.0)["apart"][0].as_py() > 0.01
    games.draw(rows, settings._replace(num_cuts=1))


@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0])
def test_bursts_keep_the_requests_and_the_whole_time(spread):
    rng = np.random.default_rng(3)
    long = cj.Workload(np.arange(2001.0), np.arange(2001), np.arange(2001))
    found = distance_drivers.bursty(long, spread, rng)
    gaps = np.diff(found.arrival_s)
    assert found.arrival_s[-1] == pytest.approx(2000.0) and (gaps >= 0).all()
    assert gaps.std() / gaps.mean() == pytest.approx(spread, rel=0.15)
    np.testing.assert_array_equal(found.num_prefill_tokens, long.num_prefill_tokens)


def test_with_one_seat_nobody_shares_a_batch():
    settings = settings_of(
        distance_drivers, num_cuts=1, num_requests=4, methods=FEW, batch_caps=(1, 256)
    )._replace(policies=("chunked_prefill",), burstiness=(1.0,))
    rows = distance_drivers.measure(TRACE, settings)
    assert distance_drivers.together(rows, "batch cap", "1") >= 1
    first, second = (
        distance_drivers.spread_of(rows, driver, value, "tokens")
        for driver, value in (("batch cap", "256"), ("policy", "chunked_prefill"))
    )
    np.testing.assert_array_equal(first, second)  # the same system by another name
    distance_drivers.draw(rows, settings)


def test_alone_every_method_pays_what_the_machine_saves():
    settings = settings_of(long_generation, longest=60, stops=3, later_s=0.1)
    settings = settings._replace(crowds=(0, 3), longer=20, methods=("tokens",))
    rows = long_generation.measure(settings)
    names = (*settings.methods, long_generation.MACHINE)
    prices = [long_generation.price_at(rows, 0, name, 30) for name in names]
    np.testing.assert_allclose(prices, prices[0], rtol=1e-6)
    crowd = long_generation.price_at(rows, 3, "tokens", 30)
    assert 0 < crowd < prices[0]
    assert np.isnan(long_generation.price_at(rows, 0, "tokens", 60))
    long_generation.draw(rows, settings)


def test_rewards_are_shapleys_own_at_no_distance():
    settings = settings_of(incentive_curves, num_cuts=1, num_requests=4)
    settings = settings._replace(prompts=(16, 64), answers=(8, 32), methods=("tokens",))
    rows = incentive_curves.measure(TRACE, settings)
    assert incentive_curves.by_distance(rows) == ["shapley", "tokens"]
    assert incentive_curves.distance(rows, "shapley", "prompt") == 0
    assert incentive_curves.rewards(rows, "tokens", "decode").shape == (1, 2)
    incentive_curves.draw(rows, settings)


def test_operational_carbon_grows_with_the_grid_and_embodied_does_not():
    settings = settings_of(operational_embodied, accelerators=("h200-sxm",))
    settings = settings._replace(loads={"once": 1.0}, grids={"low": 50.0, "high": 100.0})
    settings = settings._replace(embodied_kg={"any": [20.0, 40.0]})
    low, high = operational_embodied.measure(TRACE, settings)
    assert high.serving_mg == pytest.approx(2 * low.serving_mg, rel=1e-4)
    assert high.embodied_mg == low.embodied_mg
    assert low.embodied_part_low < low.embodied_part < low.embodied_part_high


@pytest.mark.slow
def test_a_day_charges_what_its_hours_do(shared_data, monkeypatch):
    monkeypatch.setenv("CARBJAX_DATA", str(shared_data))
    grid = cj.read_intensity(time_of_day.data_path(time_of_day.GRID))
    settings = settings_of(time_of_day, days=1, methods=("tokens",))
    crowd = TRACE.select(slice(0, 1))
    (day,) = time_of_day.measure_year(crowd, grid, settings)
    zero = time_of_day.midnight(settings.first_day, settings)
    both = [
        time_of_day._intensity_at(grid, zero + time_of_day.dt.timedelta(hours=hour))
        for hour in (settings.noon, settings.evening)
    ]
    machine = dataclasses.replace(
        time_of_day.load_system(settings), carbon_intensity=cj.Intensity.constant(0.0)
    )
    workload = cj.Workload([0.0] * 2, [settings.prompt, 700], [settings.answer, 20])
    embodied = cj.attribute(workload, machine, "streaming").shares[0]
    noon, evening = day.noon_g - embodied, day.evening_g - embodied
    assert evening / noon == pytest.approx(both[1] / both[0], rel=1e-4)


def test_draws_of_tenants_are_whole_and_repeat(shared_data, monkeypatch):
    monkeypatch.setenv("CARBJAX_DATA", str(shared_data))
    settings = settings_of(tenants, num_draws=1, num_requests=4, methods=("tokens",))
    first, again = (tenants.draw_workload(0, settings) for _ in range(2))
    np.testing.assert_array_equal(first.arrival_s, again.arrival_s)
    assert first.num_requests == 4 and (np.diff(first.arrival_s) >= 0).all()
    (bill,) = tenants.measure(settings._replace(loads={"4 x": 4.0}))
    tokens = first.num_prefill_tokens + first.num_decode_tokens
    part = tokens[first.player == tenants.DOCUMENTS].sum() / tokens.sum()
    assert bill.documents_part == pytest.approx(part, abs=1e-6)
    assert bill.unpaid_part == pytest.approx(0.0, abs=1e-6)


def test_four_criteria_are_drawn_of_what_was_judged(tmp_path):
    asked = {"methods": ["tokens"], "criteria": ["fairness"], "eps": [0.1], "seed": 0}
    cut = {"count": 1, "requests": 4, "loads": [1.0]}
    system = {"accelerator": "h200-sxm", "model": "llama-3.1-8b"}
    settings = {"evaluation": asked, "workloads": cut, "system": system}
    found = four_criteria.judge(TRACE, settings, tmp_path)
    figure = four_criteria.draw(found.summary, 1, 4)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["tokens"]
