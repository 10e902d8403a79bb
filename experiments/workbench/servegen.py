"""Requests of real tenants, drawn from ServeGen's fitted arrivals and lengths."""

import ast
import csv
import functools
import gzip
import json
import pathlib
from typing import NamedTuple

import numpy as np

import carbjax as cj
from experiments.workbench.inputs import data_path

FOLDER = pathlib.Path("servegen", "deepseek-r1")
PERIOD_S = 21_600  # lengths are told for periods of six hours


class Window(NamedTuple):
    """Which part of the tenants' record is drawn."""

    clients: tuple[int, ...]
    window_s: float
    num_requests: int
    enough: float  # expected requests of a window, for each one that is taken
    least_rate: float  # requests a second, of each tenant


def draw_window(window: Window, rng: np.random.Generator) -> cj.Workload:
    """The first requests of all tenants in a random busy window, the tenants as players.

    Raises `ValueError` where the window happens to have too few.
    """
    start = int(rng.choice(_busy_windows(window)))
    tenants = [_tenant(client, start, window, rng) for client in window.clients]
    arrival, prompt, answer = (np.concatenate(part) for part in zip(*tenants, strict=True))
    player = np.repeat(np.arange(len(tenants)), [len(each[0]) for each in tenants])
    order = np.argsort(arrival)[: window.num_requests]
    if len(order) < window.num_requests:
        raise ValueError(f"{len(order)} requests were drawn, not {window.num_requests}.")
    return cj.Workload(arrival[order], prompt[order], answer[order], player[order])


def _busy_windows(window: Window) -> list[int]:
    """Starts of windows with lengths and enough requests of all tenants."""
    starts = []
    for start in _windows(window.clients[0]):
        rates = [float(_windows(client)[start][1]) for client in window.clients]
        period = str(start - start % PERIOD_S)
        known = all(_lengths(c)[period]["input_tokens"] != "{}" for c in window.clients)
        enough = sum(rates) * window.window_s > window.enough * window.num_requests
        if known and enough and min(rates) > window.least_rate:
            starts.append(start)
    return starts


@functools.cache
def _windows(client: int) -> dict[int, list[str]]:
    """The rows of the tenant's arrivals by the start of their window."""
    path = data_path(FOLDER) / f"chunk-{client}-trace.csv.gz"
    with gzip.open(path, "rt") as file:
        return {int(float(row[0])): row for row in csv.reader(file)}


@functools.cache
def _lengths(client: int) -> dict[str, dict[str, str]]:
    """The tenant's distributions of lengths by the start of their period."""
    with gzip.open(data_path(FOLDER) / f"chunk-{client}-dataset.json.gz", "rt") as file:
        return json.load(file)


def _tenant(
    client: int, start: int, window: Window, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrivals (s) and lengths that this tenant's distributions give in a window."""
    _, rate, _, pattern, shape, scale = _windows(client)[start]
    gaps = float(shape), float(scale)
    arrival = _arrivals(pattern, float(rate), gaps, window.window_s, rng)
    lengths = _lengths(client)[str(start - start % PERIOD_S)]
    prompt, answer = (
        _sample(lengths[name], len(arrival), rng)
        for name in ("input_tokens", "output_tokens")
    )
    return arrival, prompt, answer


def _arrivals(
    pattern: str,
    rate: float,
    gaps: tuple[float, float],
    window_s: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Renewals of the fitted distribution, brought to the window's mean rate."""
    shape, scale = gaps
    count = 2 * int(rate * window_s) + 64
    if pattern == "Gamma":
        between = rng.gamma(shape, scale, count)
    elif pattern == "Weibull":
        between = scale * rng.weibull(shape, count)
    else:
        raise ValueError(f"the tenant is not active in this window ({pattern!r}).")
    times = np.cumsum(between / between.mean() / rate)
    return times[times < window_s]


def _sample(text: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths drawn from a distribution written as a Python dictionary."""
    distribution = ast.literal_eval(text)
    tokens = np.array(list(distribution), float).astype(int)
    part = np.array(list(distribution.values()))
    return rng.choice(tokens, count, p=part / part.sum())
