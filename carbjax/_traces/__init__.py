"""Readers of request traces."""

from carbjax._traces.format import TraceFormat as TraceFormat
from carbjax._traces.meter import MeterReadings as MeterReadings, read_meter as read_meter
from carbjax._traces.read import (
    FORMATS as FORMATS,
    read_trace as read_trace,
    read_trace_report as read_trace_report,
)
from carbjax._traces.report import (
    NO_CALENDAR as NO_CALENDAR,
    TokenSummary as TokenSummary,
    TraceReport as TraceReport,
    tie_notes as tie_notes,
)
from carbjax._traces.servegen import (
    ServeGen as ServeGen,
    servegen_workload as servegen_workload,
)
