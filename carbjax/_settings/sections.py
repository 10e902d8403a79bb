"""What a run needs to know, checked: the same for options and configuration files."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from carbjax._units import INT32_MAX

Whole = Annotated[int, Field(ge=1, le=INT32_MAX)]
Instant = str | float | dt.datetime


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Reading(Section):
    """How a trace file is to be read."""

    format: str | None = Field(
        default=None, description="Trace format; default: by content."
    )
    tz: str | None = Field(
        default=None, description="IANA zone of time stamps without one, such as UTC."
    )
    epoch: str | dt.datetime | None = Field(
        default=None,
        description="Instant of second 0 (ISO 8601 with its offset), where the trace "
        "counts seconds.",
    )


class TraceSettings(Reading):
    path: str = Field(description="Trace file, or `sample` for the one that ships.")
    start: Instant | None = Field(
        default=None,
        alias="from",
        description="First instant (ISO 8601), or seconds after the first arrival.",
    )
    until: Instant | None = Field(
        default=None, description="First instant left out, likewise."
    )
    limit: Whole | None = Field(default=None, description="Only the first N requests.")
    players: Literal["request", "tenant"] = Field(
        default="request", description="Who shares the bill."
    )
    tenants: str | None = Field(
        default=None,
        description="CSV of request_id,tenant_id, or the trace's tenant column.",
    )


class SystemSettings(Section):
    accelerator: str = Field(
        default="h200-sxm", description="GPU; `carbjax doctor` lists them."
    )
    model: str = Field(
        default="llama-3.1-8b", description="Model; `carbjax doctor` lists them."
    )
    tensor_parallel: Whole = Field(default=1, description="GPUs that share the model.")
    surrogate: str | None = Field(
        default=None, description="Fit of `carbjax fit`, in place of the shipped one."
    )
    policy: Literal["prefill_first", "chunked_prefill", "static"] = Field(
        default="chunked_prefill", description="How the scheduler forms batches."
    )
    max_num_seqs: Whole = Field(default=256, description="Most requests in a batch.")
    max_num_batched_tokens: Whole = Field(
        default=8192, description="Tokens of an iteration."
    )
    kv_capacity_tokens: Whole | None = Field(
        default=None,
        json_schema_extra={"option": "kv-capacity"},
        description="Tokens of KV cache; default: what the memory leaves.",
    )
    carbon_intensity: float | str = Field(
        default=400.0,
        json_schema_extra={"option": "intensity"},
        description="gCO2e/kWh, or a file: Electricity Maps export or two columns.",
    )
    intensity_kind: Literal["lca", "direct"] = Field(
        default="lca", description="Life cycle or direct emissions of electricity."
    )
    intensity_tz: str | None = Field(
        default=None, description="IANA zone of the intensity file's stamps without one."
    )
    intensity_column: str | None = Field(
        default=None, description="Column of the intensity file, where it has several."
    )
    intensity_missing: Literal["error", "nearest", "interpolate"] = Field(
        default="error", description="What becomes of steps the intensity file lacks."
    )
    pue: Annotated[float, Field(ge=1, lt=10)] = Field(
        default=1.1, description="Power usage effectiveness of the site."
    )
    provisioning: Literal["always_on", "on_demand"] = Field(
        default="always_on", description="Whether the machine exists while nothing runs."
    )


class AttributionSettings(Section):
    method: str = Field(
        default="streaming",
        description="shapley, streaming, tokens, …; `doctor` lists them.",
    )
    idle: Literal["unattributed", "equal", "usage", "residence"] = Field(
        default="usage",
        description="How idle and embodied carbon is spread over the players.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        default=0, description="Seed of methods that sample."
    )


class OutputSettings(Section):
    out: str | None = Field(default=None, description="Ledger to write: .parquet or .csv.")
    figure: str | None = Field(
        default=None, description="Figure to draw: .png, .svg or .pdf."
    )


class RunSettings(Section):
    trace: TraceSettings
    system: SystemSettings = SystemSettings()
    attribution: AttributionSettings = AttributionSettings()
    output: OutputSettings = OutputSettings()
