"""The criteria by which attribution methods are judged. See docs/criteria.md."""

from carbjax._criteria.axioms import (
    AXIOMS as AXIOMS,
    AxiomReport as AxiomReport,
    Violation as Violation,
    check_axioms as check_axioms,
)
from carbjax._criteria.bootstrap import Interval as Interval, bootstrap as bootstrap
from carbjax._criteria.cuts import Cut as Cut, cut_workloads as cut_workloads
from carbjax._criteria.evaluation import Evaluation as Evaluation, evaluate as evaluate
from carbjax._criteria.externality import (
    Externality as Externality,
    externality as externality,
)
from carbjax._criteria.fairness import (
    ShapleyDistance as ShapleyDistance,
    shapley_distance as shapley_distance,
)
from carbjax._criteria.guard import Refusal as Refusal, run_guarded as run_guarded
from carbjax._criteria.incentive_curve import (
    IncentiveCurve as IncentiveCurve,
    incentive_curve as incentive_curve,
)
from carbjax._criteria.incentives import (
    RewardReport as RewardReport,
    reduction_reward as reduction_reward,
)
from carbjax._criteria.monotonicity import (
    MonotonicityReport as MonotonicityReport,
    Padding as Padding,
    check_monotonicity as check_monotonicity,
)
from carbjax._criteria.sample_efficiency import (
    SampleEfficiency as SampleEfficiency,
    method_efficiency as method_efficiency,
    sample_efficiencies as sample_efficiencies,
    sample_efficiency as sample_efficiency,
)
from carbjax._criteria.scaling import Scaling as Scaling, scaling as scaling
from carbjax._criteria.share_ranges import (
    ShareRanges as ShareRanges,
    SourceRange as SourceRange,
    share_ranges as share_ranges,
)
from carbjax._criteria.stopping import (
    StoppingCurve as StoppingCurve,
    stopping_curve as stopping_curve,
)
from carbjax._criteria.summary import (
    Spread as Spread,
    spread_of as spread_of,
    summarise_distances as summarise_distances,
)
from carbjax._criteria.uncertainties import (
    OperatorError as OperatorError,
    Uncertainties as Uncertainties,
    published_uncertainties as published_uncertainties,
)
