"""Attribution methods. Importing this registers carbjax's own."""

from carbjax._attribution import (
    demand as demand,
    energy_per_token as energy_per_token,
    of_games as of_games,
    of_runs as of_runs,
    proportional as proportional,
    replay_exact as replay_exact,
    sampled as sampled,
    standalone as standalone,
    utilization as utilization,
)
from carbjax._attribution.attribute import attribute as attribute
from carbjax._attribution.attribution import Attribution as Attribution
from carbjax._attribution.exact import shapley as shapley
from carbjax._attribution.methods import (
    methods as methods,
    register_method as register_method,
)
