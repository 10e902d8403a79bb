from ._attribution import (
    Attribution as Attribution,
    attribute as attribute,
    methods as methods,
    register_method as register_method,
    shapley as shapley,
)
from ._carbon import Intensity as Intensity, read_intensity as read_intensity
from ._errors import (
    CarbjaxError as CarbjaxError,
    ConfigError as ConfigError,
    ExtrapolationWarning as ExtrapolationWarning,
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
    estimate_shapley as estimate_shapley,
)
from ._fitting import fit_profile as fit_profile
from ._games import (
    AbstractGame as AbstractGame,
    ReplayGame as ReplayGame,
    ServingGame as ServingGame,
    TableGame as TableGame,
)
from ._hardware import Accelerator as Accelerator, ModelShape as ModelShape
from ._ledger import ledger_table as ledger_table, write_ledger as write_ledger
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
from ._traces import read_trace as read_trace, read_trace_report as read_trace_report
from ._version import __version__ as __version__
from ._workload import Workload as Workload
