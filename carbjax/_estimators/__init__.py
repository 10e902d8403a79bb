"""Estimators of the Shapley value from few coalitions."""

from carbjax._estimators.closed_form import closed_form as closed_form
from carbjax._estimators.control import Control as Control
from carbjax._estimators.estimate import (
    Estimate as Estimate,
    estimate_shapley as estimate_shapley,
)
from carbjax._estimators.index_estimates import (
    IndexEstimate as IndexEstimate,
    estimate_banzhaf as estimate_banzhaf,
    estimate_interactions as estimate_interactions,
)
