"""What a ledger of a fleet needs to know, checked."""

from typing import Literal

from pydantic import BaseModel, Field

from carbjax._settings.sections import Section, SystemSettings, Whole


class LedgerSection(Section):
    format: str | None = Field(
        default=None, description="Format of text traces; default: by content."
    )
    tz: str | None = Field(
        default=None, description="IANA zone of time stamps without one, such as UTC."
    )
    tenants: str | None = Field(
        default=None,
        description="CSV of request_id,tenant_id, or the text trace's tenant column.",
    )
    backends: Whole | None = Field(
        default=None, description="Backends that a text trace's requests go to in turn."
    )
    iterations: str | None = Field(
        default=None,
        description="Log of a server's iterations; SOURCE is then the one log of its "
        "requests, and nothing is simulated.",
    )
    meter: str | None = Field(
        default=None,
        description="Readings of its GPUs' energy counters: the total is theirs then.",
    )
    unix_minus_clock_s: float | None = Field(
        default=None,
        description="Unix time less the iterations' clock, where the log does not tell.",
    )
    systems: str | None = Field(
        default=None,
        description="TOML of several models: a table for each, with what differs from "
        "the other options.",
    )
    market_intensity: float | str | None = Field(
        default=None,
        description="g/kWh of the electricity that was bought, or a file as for "
        "--intensity, for a column of its own.",
    )
    market_column: str | None = Field(
        default=None, description="Column of that file, where it has several."
    )
    workers: Whole | None = Field(
        default=None, description="Processes; default: one a core."
    )
    engine: Literal["processes", "ray"] = Field(
        default="processes", description="Where groups of backends are served."
    )
    slice_rows: Whole = Field(
        default=4096, description="Requests that a backend takes at once."
    )


class LedgerSettings(BaseModel):
    system: SystemSettings = SystemSettings()
    ledger: LedgerSection = LedgerSection()
