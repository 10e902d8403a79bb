"""The random forest that Vidur predicts with.

One `RandomForestRegressor` an operator, of 250 trees (its grid of 250 to 750 trees and
of depths hardly matters), on these features: tokens rounded up to a multiple of 8 for
what depends on tokens alone; cached tokens and the square of the chunk for prefill
attention; requests and their mean context for decode attention. Vidur has no forest for
matrix products of any shape, nor for mixed batches: here they get (m, n, k), and
(chunk, cached, requests, context).
"""

import numpy as np
from jaxtyping import Float

from carbjax._fitting.splits import Rows

NUM_TREES = 250
_TOKEN_STEP = 8

Matrix = Float[np.ndarray, "rows features"]


def forest(features: Matrix, latency_s: Float[np.ndarray, " rows"], seed: int = 0):
    """A forest fitted to these rows."""
    try:
        # Of the extra `bench`: type checks run without it.
        from sklearn.ensemble import (  # pyright: ignore[reportMissingImports]
            RandomForestRegressor,
        )
    except ImportError as error:
        raise SystemExit(
            "This benchmark needs scikit-learn: pip install 'carbjax[bench]'."
        ) from error
    return RandomForestRegressor(NUM_TREES, random_state=seed, n_jobs=-1).fit(
        features, latency_s
    )


def forest_predictions(
    features: Matrix, latency_s: Float[np.ndarray, " rows"], train: Rows
) -> Float[np.ndarray, " rows"]:
    """Seconds of every row by a forest that has seen the rows `train`."""
    return forest(features[train], latency_s[train]).predict(features)


def rounded_tokens(num_tokens: Float[np.ndarray, " rows"]) -> Matrix:
    """The feature of an operator that depends on tokens alone."""
    return (np.ceil(num_tokens / _TOKEN_STEP) * _TOKEN_STEP)[:, None]
