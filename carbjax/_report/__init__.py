"""An evaluation as a page that can be sent to somebody."""

from carbjax._report.page import write_report as write_report
