"""Methods whose shares are known functions of token counts, and a small case."""

import dataclasses

import jax
import numpy as np

from carbjax._attribution.attribution import Attribution, sum_players
from carbjax._carbon.emissions import Emissions
from tests.attribution.test_shares import CASES
from tests.systems import judged

PRICE_G = 1e-6


def small_case(provisioning="always_on", which=0):
    """Four requests and a system, the judge's."""
    return judged(CASES[which], np.random.default_rng(31), provisioning)[1:]


def counted(share):
    """A method that charges each player `share(p, d)` grams."""

    def method(game, *, workload, system, timeline, key=None):
        grams = share(
            workload.num_prefill_tokens.astype(float),
            workload.num_decode_tokens.astype(float),
        )
        grams = np.bincount(workload.player, grams, workload.num_players)
        none = np.zeros_like(grams)
        shares = Emissions(none, grams, none, none, none)
        whole = jax.tree.map(np.asarray, timeline.emissions)
        return Attribution("counted", shares, whole - sum_players(shares), whole)

    return method


flat = counted(lambda p, d: PRICE_G * (p + d))


def sees_nobody(game, *, workload, system, timeline, key=None):
    """A method that charges the first player v of nobody, as the game tells it."""
    nobody = game(np.zeros(game.num_players, bool))
    found = flat(game, workload=workload, system=system, timeline=timeline)
    grams = float(nobody) * np.eye(1, workload.num_players)[0]
    return dataclasses.replace(
        found, emissions=dataclasses.replace(found.emissions, decode=grams)
    )
