"""Every method keeps the axioms that it claims, and no others."""

import dataclasses

import jax
import pytest

from carbjax._attribution.laws import check_claims, violations
from carbjax._attribution.methods import (
    _ENTRIES,
    AXIOMS,
    Entry,
    find_entry,
    methods,
    register_method,
)
from carbjax._attribution.of_games import exact_shapley
from carbjax._errors import CarbjaxError, InputError


@pytest.mark.parametrize("name", methods())
def test_claims_hold_and_what_is_not_claimed_has_a_counter_example(name):
    found, claimed = violations(name), find_entry(name).claims
    for axiom in AXIOMS:
        if axiom in claimed:
            assert found[axiom] < 1e-9, f"{axiom} is claimed and does not hold"
        else:
            assert found[axiom] > 1e-6, f"{axiom} holds and is not claimed"


def _tilted(game, **run):
    """The Shapley value, with a little taken from player 0 for player 2."""
    result = exact_shapley(game, **run)
    factor = [1.0 - 1e-6 * (i == 0) for i in range(len(result.shares))]
    tilted = jax.tree.map(lambda x: x * factor, result.emissions)
    return dataclasses.replace(result, emissions=tilted)


def test_a_false_claim_is_found(monkeypatch):
    lie = Entry(_tilted, True, frozenset({"symmetry", "linearity"}))
    monkeypatch.setitem(_ENTRIES, "lie", lie)
    with pytest.raises(CarbjaxError, match="symmetry"):
        check_claims("lie")
    truth = lie._replace(claims=frozenset({"null_player", "linearity"}))
    monkeypatch.setitem(_ENTRIES, "truth", truth)
    check_claims("truth")


def test_an_unknown_axiom_or_a_taken_name_is_refused():
    with pytest.raises(InputError, match="null_player"):
        register_method("mine", exact_shapley, claims=("fairness",))
    with pytest.raises(InputError, match="registered"):
        register_method("shapley", exact_shapley)


@pytest.mark.parametrize("name", methods())
def test_docstrings_say_what_a_method_costs_and_keeps(name):
    text = methods()[name].__doc__
    assert text and all(word in text for word in ("Source:", "Cost:", "Keeps"))
