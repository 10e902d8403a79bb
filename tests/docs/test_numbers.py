"""The pages to decide by quote the figures and the registry as they are."""

import csv
import re
import statistics

import numpy as np
import pytest

from carbjax._attribution.methods import _ENTRIES, AXIOMS
from tests.docs.pages import DOCS, ROOT


def _table(section):
    """The cells of the section's table, by what stands in the first column."""
    text = (DOCS / "choose.md").read_text("utf-8").split(f"\n## {section}\n")[1]
    lines = [line for line in text.split("\n## ")[0].splitlines() if line[:1] == "|"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {name: cells for name, *cells in rows}


def _figure(name):
    with (ROOT / "figures" / name).open() as file:
        return list(csv.DictReader(file))


def _says(shown, value):
    """Whether `shown` is `value`, rounded to as many digits as it has."""
    digits = len(shown.partition(".")[2])
    return abs(float(shown) - value) <= 0.5000001 * 10**-digits


METHODS = _table("Methods by the criteria")


def test_every_method_is_there():
    assert set(METHODS) == {f"`{name}`" for name in _ENTRIES}


@pytest.mark.parametrize("name", _ENTRIES)
def test_axioms_are_those_not_claimed(name):
    left = [axiom for axiom in AXIOMS if axiom not in _ENTRIES[name].claims]
    assert METHODS[f"`{name}`"][-1] == (", ".join(left) or "–")


def test_distances_are_those_of_the_figure():
    rows = _figure("distances.csv")
    for name in {row["method"] for row in rows}:
        percent = [100 * float(r["distance"]) for r in rows if r["method"] == name]
        median, high = METHODS[f"`{name}`"][:2]
        assert _says(median, statistics.median(percent)), name
        assert _says(high, float(np.quantile(percent, 0.95))), name


def test_rewards_are_those_of_the_figure():
    rows = [r for r in _figure("incentive_curves.csv") if r["against"] == r["halved"]]
    rewards = {
        (r["method"], r["halved"], r["cut"], r["tokens"]): float(r["reward"]) for r in rows
    }
    for name in {row["method"] for row in rows}:
        for shown, part in zip(METHODS[f"`{name}`"][3].split(","), ("prompt", "decode")):
            off = [
                abs(reward - rewards["shapley", *key[1:]])
                for key, reward in rewards.items()
                if key[:2] == (name, part)
            ]
            assert _says(shown.strip(), statistics.mean(off)), (name, part)


@pytest.mark.parametrize(
    ("line", "figure", "column", "value"),
    [
        ("arrivals as recorded", "distances.csv", "load", "as recorded"),
        ("3 times as fast", "distances.csv", "load", "3 x"),
        ("all at once", "distances.csv", "load", "at once"),
        ("3 x, 8 seats for 10 requests", "distance_drivers.csv", "value", "8"),
        ("3 x, 4 seats", "distance_drivers.csv", "value", "4"),
        ("3 x, static batching", "distance_drivers.csv", "value", "static"),
    ],
)
def test_where_it_is_far_off_is_of_the_figures(line, figure, column, value):
    rows = [r for r in _figure(figure) if r[column] == value]
    if column == "value" and value != "static":
        rows = [r for r in rows if r["driver"] == "batch cap"]
    shown = _table("Where it is far off")[line]
    for name, cell in zip(("streaming", "retimed", "standalone", "tokens"), shown):
        off = [100 * float(r["distance"]) for r in rows if r["method"] == name]
        assert _says(cell, statistics.median(off)), name


def test_how_far_to_trust_a_bill_is_of_the_figure():
    said = (DOCS / "fidelity.md").read_text("utf-8")
    low, high = re.findall(r"between (\d+)% and (\d+)% of what is charged", said)[0]
    case = ("h200-sxm", "always_on", "life-cycle series", "all")
    columns = ("accelerator", "provisioning", "kind", "source")
    rows = _figure("uncertainty.csv")
    (row,) = (r for r in rows if tuple(r[c] for c in columns) == case)
    assert _says(low, 100 * float(row["low"])) and _says(high, 100 * float(row["high"]))
