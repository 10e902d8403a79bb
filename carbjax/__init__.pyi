from ._attribution import (
    Attribution as Attribution,
    DecodeRuns as DecodeRuns,
    Elasticities as Elasticities,
    MeteredSchedule as MeteredSchedule,
    PromptChunks as PromptChunks,
    RecordedLog as RecordedLog,
    RecordedSchedule as RecordedSchedule,
    TokenAttribution as TokenAttribution,
    TokenPrices as TokenPrices,
    attribute as attribute,
    attribute_recorded as attribute_recorded,
    aumann_shapley as aumann_shapley,
    banzhaf as banzhaf,
    check_claims as check_claims,
    elasticities as elasticities,
    meter_schedule as meter_schedule,
    methods as methods,
    read_recorded as read_recorded,
    register_method as register_method,
    shapley as shapley,
    shapley_interactions as shapley_interactions,
    token_prices as token_prices,
)
from ._carbon import Intensity as Intensity, read_intensity as read_intensity
from ._criteria import (
    AxiomReport as AxiomReport,
    Cut as Cut,
    Evaluation as Evaluation,
    Externality as Externality,
    IncentiveCurve as IncentiveCurve,
    MonotonicityReport as MonotonicityReport,
    OperatorError as OperatorError,
    Padding as Padding,
    Refusal as Refusal,
    RewardReport as RewardReport,
    SampleEfficiency as SampleEfficiency,
    Scaling as Scaling,
    ShapleyDistance as ShapleyDistance,
    ShareRanges as ShareRanges,
    SourceRange as SourceRange,
    Spread as Spread,
    StoppingCurve as StoppingCurve,
    Uncertainties as Uncertainties,
    bootstrap as bootstrap,
    check_axioms as check_axioms,
    check_monotonicity as check_monotonicity,
    cut_workloads as cut_workloads,
    evaluate as evaluate,
    externality as externality,
    incentive_curve as incentive_curve,
    method_efficiency as method_efficiency,
    published_uncertainties as published_uncertainties,
    reduction_reward as reduction_reward,
    run_guarded as run_guarded,
    sample_efficiencies as sample_efficiencies,
    sample_efficiency as sample_efficiency,
    scaling as scaling,
    shapley_distance as shapley_distance,
    share_ranges as share_ranges,
    spread_of as spread_of,
    stopping_curve as stopping_curve,
    summarise_distances as summarise_distances,
)
from ._datasets import DATA_SETS as DATA_SETS, Fetched as Fetched, fetch as fetch
from ._errors import (
    CarbjaxError as CarbjaxError,
    ConfigError as ConfigError,
    ExtrapolationWarning as ExtrapolationWarning,
    FetchError as FetchError,
    InputError as InputError,
    IntensityError as IntensityError,
    OutputError as OutputError,
    ProfileError as ProfileError,
    TraceError as TraceError,
    WorkloadError as WorkloadError,
)
from ._estimators import (
    Control as Control,
    Estimate as Estimate,
    IndexEstimate as IndexEstimate,
    closed_form as closed_form,
    estimate_banzhaf as estimate_banzhaf,
    estimate_interactions as estimate_interactions,
    estimate_shapley as estimate_shapley,
)
from ._fitting import fit_profile as fit_profile
from ._games import (
    AbstractGame as AbstractGame,
    ReplayGame as ReplayGame,
    ServingGame as ServingGame,
    TableGame as TableGame,
    independent_blocks as independent_blocks,
)
from ._hardware import Accelerator as Accelerator, ModelShape as ModelShape
from ._ledger import (
    ClosureError as ClosureError,
    FleetLedger as FleetLedger,
    find_backends as find_backends,
    ledger_table as ledger_table,
    make_ledger as make_ledger,
    make_recorded_ledger as make_recorded_ledger,
    write_ledger as write_ledger,
)
from ._plots import share_figure as share_figure
from ._profiles import Profile as Profile, read_profile as read_profile
from ._runtime import enable_compilation_cache as enable_compilation_cache
from ._serving import (
    ContinuousServing as ContinuousServing,
    System as System,
    Timeline as Timeline,
    serve as serve,
)
from ._surrogate import (
    AbstractIterationCost as AbstractIterationCost,
    BatchFeatures as BatchFeatures,
    Surrogate as Surrogate,
)
from ._traces import (
    MeterReadings as MeterReadings,
    ServeGen as ServeGen,
    read_meter as read_meter,
    read_trace as read_trace,
    read_trace_report as read_trace_report,
    servegen_workload as servegen_workload,
)
from ._version import __version__ as __version__
from ._workload import Workload as Workload
