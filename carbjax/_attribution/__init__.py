"""Attribution methods. Importing this registers carbjax's own."""

from carbjax._attribution import (
    demand as demand,
    energy_per_token as energy_per_token,
    of_games as of_games,
    of_runs as of_runs,
    proportional as proportional,
    replay_exact as replay_exact,
    retimed as retimed,
    sampled as sampled,
    standalone as standalone,
    utilization as utilization,
)
from carbjax._attribution.attribute import attribute as attribute
from carbjax._attribution.attribution import Attribution as Attribution
from carbjax._attribution.aumann_shapley import (
    TokenAttribution as TokenAttribution,
    aumann_shapley as aumann_shapley,
)
from carbjax._attribution.banzhaf import banzhaf as banzhaf
from carbjax._attribution.elasticities import (
    Elasticities as Elasticities,
    elasticities as elasticities,
)
from carbjax._attribution.exact import shapley as shapley
from carbjax._attribution.interactions import (
    shapley_interactions as shapley_interactions,
)
from carbjax._attribution.laws import check_claims as check_claims
from carbjax._attribution.metered import (
    MeteredSchedule as MeteredSchedule,
    meter_schedule as meter_schedule,
)
from carbjax._attribution.methods import (
    methods as methods,
    register_method as register_method,
)
from carbjax._attribution.recorded import attribute_recorded as attribute_recorded
from carbjax._attribution.recorded_logs import (
    RecordedLog as RecordedLog,
    read_recorded as read_recorded,
)
from carbjax._attribution.recorded_schedule import (
    DecodeRuns as DecodeRuns,
    PromptChunks as PromptChunks,
    RecordedSchedule as RecordedSchedule,
)
from carbjax._attribution.token_prices import (
    TokenPrices as TokenPrices,
    token_prices as token_prices,
)
