"""`carbjax validate`: what a trace holds, or what is wrong with it."""

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from carbjax._cli.options import json_option

if TYPE_CHECKING:
    from carbjax._traces import TokenSummary, TraceReport


@click.command("validate")
@click.argument("trace")
@click.option("--format", "form", help="Trace format; default: by content.")
@click.option("--tz", help="IANA zone of time stamps without one, such as UTC.")
@click.option(
    "--tenants", help="CSV of request_id,tenant_id, or the trace's tenant column."
)
@click.option(
    "--rejects", metavar="FILE", help="Write rows that cannot be used there, with reasons."
)
@json_option
def command(
    trace: str,
    form: str | None,
    tz: str | None,
    tenants: str | None,
    rejects: str | None,
    as_json: bool,
) -> None:
    """Read TRACE in full and report what it holds.

    Exit code 2, and the file, row and column of the first fault, where it cannot be used;
    with --rejects all faults are found, and the report is of the other rows.

    \b
    Examples:
      carbjax validate trace.csv --tz UTC
      carbjax validate mooncake.jsonl.gz --json
    """
    # Reading is slow to import, and `--help` needs none of it.
    from carbjax._cli.sample import trace_path
    from carbjax._traces import read_trace_report

    _, report = read_trace_report(trace_path(trace), form, tz, tenants, rejects)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), default=str, indent=2))
    else:
        click.echo("\n".join(_lines(report)))


def _lines(report: "TraceReport") -> list[str]:
    start = "unknown" if report.epoch is None else report.epoch.isoformat()
    tenants = "none named" if report.num_tenants is None else str(report.num_tenants)
    return [
        f"{report.file}: {_verdict(report)}, format {report.format}",
        f"  requests: {report.num_requests:,}, tenants: {tenants}",
        f"  arrivals: from {start}, over {report.span_s:.3f} s",
        f"  prompt tokens: {_tokens(report.num_prefill_tokens)}",
        f"  decode tokens: {_tokens(report.num_decode_tokens)}",
        *(f"  note: {note}" for note in report.notes),
    ]


def _verdict(report: "TraceReport") -> str:
    bad = report.num_rejected
    return f"{bad} bad rows, and a good trace without them" if bad else "a good trace"


def _tokens(tokens: "TokenSummary") -> str:
    return (
        f"{tokens.minimum} to {tokens.maximum}, mean {tokens.mean:.1f}, "
        f"{tokens.total:,} in all"
    )
