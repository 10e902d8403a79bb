"""Readers of request traces."""

from carbjax._traces.format import TraceFormat as TraceFormat
from carbjax._traces.read import (
    FORMATS as FORMATS,
    read_trace as read_trace,
    read_trace_report as read_trace_report,
)
from carbjax._traces.report import (
    NO_CALENDAR as NO_CALENDAR,
    TokenSummary as TokenSummary,
    TraceReport as TraceReport,
)
