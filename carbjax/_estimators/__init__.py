"""Estimators of the Shapley value from few coalitions."""

from carbjax._estimators.control import Control as Control
from carbjax._estimators.estimate import (
    Estimate as Estimate,
    estimate_shapley as estimate_shapley,
)
