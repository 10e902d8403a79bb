"""What an evaluation needs to know, checked."""

import pathlib
from typing import Annotated, Literal

from pydantic import Field

from carbjax._settings.checking import checked, read_toml
from carbjax._settings.sections import Reading, Section, SystemSettings, Whole

_PATHS = (
    ("evaluation", "method_files"),
    ("workloads", "trace"),
    ("system", "carbon_intensity"),
    ("system", "surrogate"),
)
Criterion = Literal["fairness", "axioms", "scalability", "sample_efficiency", "incentives"]
Positive = Annotated[float, Field(gt=0)]
Part = Annotated[float, Field(gt=0, lt=1)]


class EvaluationSection(Section):
    methods: list[str] | None = Field(
        default=None, min_length=1, description="Names; default: all that are registered."
    )
    method_files: list[str] = Field(
        default=[], description="Python files that call `carbjax.register_method`."
    )
    criteria: list[Criterion] = Field(
        default=["fairness", "axioms", "scalability", "sample_efficiency", "incentives"],
        min_length=1,
        description="By what the methods are judged.",
    )
    eps: list[Positive] = Field(
        default=[0.05, 0.01], min_length=1, description="Of N_eps, parts of the mean share."
    )
    estimators: list[str] = Field(
        default=["auto"], min_length=1, description="That stand behind `sampled`."
    )
    alpha: Part = Field(default=0.1, description="Chance of a run further off than eps.")
    repeats: Whole = Field(default=40, description="Seeded runs a budget.")
    level: Part = Field(default=0.95, description="Of intervals over workloads.")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        default=0, description="Of cuts, random workloads, samples and bootstraps."
    )
    limit_s: Positive = Field(default=300.0, description="Seconds that one task may take.")
    workers: Whole = Field(default=1, description="Processes that work side by side.")


class WorkloadsSection(Reading):
    trace: str = Field(description="Trace file, or `sample` for the one that ships.")
    count: Whole = Field(default=20, description="How many runs are cut from the trace.")
    requests: Annotated[int, Field(ge=1, le=16)] = Field(
        default=12, description="Requests of each; all 2^n coalitions are served."
    )
    loads: list[Positive] = Field(
        default=[1.0],
        min_length=1,
        description="How many times faster they arrive than recorded; taken in turns.",
    )


class ResultsSection(Section):
    out: str | None = Field(default=None, description="Folder of the results.")


class EvaluationSettings(Section):
    evaluation: EvaluationSection = EvaluationSection()
    workloads: WorkloadsSection
    system: SystemSettings = SystemSettings()
    output: ResultsSection = ResultsSection()


def read_evaluation(path: str) -> EvaluationSettings:
    """The settings of a TOML file; paths in it are relative to its folder.

    Raises `ConfigError`, which names the file, the key and the values allowed.
    """
    content = read_toml(path, _PATHS)
    output = content.get("output")
    if isinstance(output, dict) and isinstance(output.get("out"), str):
        # A folder's name alone is a path too, though it does not exist yet.
        output["out"] = str(pathlib.Path(path).parent / output["out"])
    return checked(content, EvaluationSettings, file=path, name=".".join, strict=True)
