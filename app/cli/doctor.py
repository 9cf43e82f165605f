"""imagegate doctor: looks at everything a gateway depends on, and says what to do."""

import sys
from collections.abc import Sequence

import typer

from app.cli.checks import Finding, examine
from app.cli.command import FAILED, Call, command
from app.cli.output import Column, Output, fields, say, visible

app = typer.Typer()
_COLUMNS = (Column("check"), Column("status"), Column("message"))
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red"}


@command(app, "doctor", here_only=True)
async def doctor(call: Call) -> None:
    """Check configuration, database, Redis, disk, relay, prices and limits, and say what to do. Changes nothing."""
    findings = await examine(call.home)
    _print(call.out, findings)
    if any(finding.status == "failed" for finding in findings):
        raise typer.Exit(FAILED)


def _print(out: Output, findings: Sequence[Finding]) -> None:
    if out.is_json or not sys.stdout.isatty():
        out.rows(_COLUMNS, [fields(finding) for finding in findings])
    else:
        _print_report(findings)
    if not out.is_json:
        say(f"imagegate: {_summary(findings)}")


def _print_report(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for finding in findings:
        status = Text(finding.status, style=_COLOURS[finding.status])
        table.add_row(status, Text(finding.check), Text(visible(finding.message), overflow="fold"))
    Console().print(table)


def _summary(findings: Sequence[Finding]) -> str:
    failed, warned = (sum(finding.status == status for finding in findings) for status in ("failed", "warning"))
    if failed:
        return f"{failed} failed." + (f" {warned} to look at." if warned else "")
    return f"nothing failed, {warned} to look at." if warned else "all is well."
