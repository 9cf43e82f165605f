"""imagegate doctor: checks everything a gateway depends on, and names the next step."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from app.cli.command import FAILED, ApiContext, LocalContext, command, with_flags
from app.cli.language import translate
from app.cli.output import Column, Output, Record, say, visible

if TYPE_CHECKING:
    from app.api.schemas.reports import DoctorOut
    from app.cli.targets import LocalTarget
    from app.control.findings import Finding
    from app.control.pepper import Peppers
    from app.upstream.pool import RelayPool

app = typer.Typer()
_FINDING = (
    Column("check", value=lambda finding: translate(finding["check"])),
    Column("status", value=lambda finding: translate(finding["status"])),
    Column("message"),
)
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red"}


async def _examine_here(ctx: LocalContext) -> None:
    """Check this machine, even before its database exists."""
    found = await examine(ctx.target)
    _print(ctx.out, found.model_dump(mode="json"), ctx.target.flags)


@command(app, "doctor", local=_examine_here)
async def doctor(ctx: ApiContext) -> None:
    """Check configuration, database, Redis, disk, relay, prices and limits, and say what to do. Changes nothing."""
    _print(ctx.out, await ctx.client.get("doctor"), ctx.target.flags)


async def examine(target: "LocalTarget") -> "DoctorOut":
    """Return the findings on this machine, in the API's form. Raises ConfigurationError for an invalid pepper."""
    from structlog.testing import capture_logs

    from app.administration import doctor_from
    from app.api.schemas.reports import DoctorOut
    from app.control.pepper import existing_peppers
    from app.store.engine import open_database

    settings, peppers = target.settings, existing_peppers(target.settings)
    relays = _relays(target, peppers)
    database = open_database(target.database_url) if target.has_database else None
    try:
        with capture_logs():  # A finding says what the parts would log.
            found = await doctor_from(settings, database, peppers, target.data_dir, relays).examine()
    finally:
        for part in (database, relays):
            if part is not None and hasattr(part, "close"):
                await part.close()
    return DoctorOut(findings=found)


def _relays(target: "LocalTarget", peppers: "Peppers | None") -> "RelayPool | Finding":
    """Make the connections to the relays, or the finding why there are none."""
    from app.administration import SANDBOX_RELAY
    from app.connections import relays_from
    from app.control.findings import Finding
    from app.control.pepper import Peppers
    from app.errors import ConfigurationError

    try:
        return SANDBOX_RELAY if target.sandbox else relays_from(target.settings, peppers or Peppers(b""))
    except ConfigurationError as exc:
        return Finding("relay", "failed", str(exc))


def _print(out: Output, answer: dict[str, Any], flags: str) -> None:
    """Print the findings. Raises typer.Exit when a check has failed."""
    words = str if out.is_json else translate
    findings = [{**finding, "message": with_flags(words(finding["message"]), flags)} for finding in answer["findings"]]
    if out.is_json:
        out.json({**answer, "findings": findings})
    elif sys.stdout.isatty():
        _print_report(findings)
    else:
        out.table(_FINDING, findings)
    if not out.is_json:
        say(_summary(findings))
    if any(finding["status"] == "failed" for finding in findings):
        raise typer.Exit(FAILED)


def _print_report(findings: Sequence[Record]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for finding in findings:
        status = Text(translate(finding["status"]), style=_COLOURS[finding["status"]])
        table.add_row(status, Text(translate(finding["check"])), Text(visible(finding["message"]), overflow="fold"))
    Console().print(table)


def _summary(findings: Sequence[Record]) -> str:
    failed, warned = (sum(finding["status"] == status for finding in findings) for status in ("failed", "warning"))
    if failed:
        return f"imagegate: {failed} failed, {warned} to look at." if warned else f"imagegate: {failed} failed."
    return f"imagegate: nothing failed, {warned} to look at." if warned else "imagegate: all is well."
