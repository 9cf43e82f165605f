"""imagegate reconcile: our book against the relay's accounts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.command import Call, command
from app.cli.output import Column, fields, say
from app.errors import ConfigurationError

if TYPE_CHECKING:
    from app.control.reconciliation import Reconciliation, ReconciliationReport
    from app.store.engine import Database
    from app.store.ledger.types import Ledger

app = typer.Typer()
_STEPS = [
    Column("request_id"),
    Column("model"),
    Column("action"),
    Column("cost_micros", "money"),
    Column("billed_micros", "money"),
    Column("reason"),
]
_OPEN = [
    Column("request_id"),
    Column("model"),
    Column("reserved_at_ms", "time"),
    Column("quote_micros", "money"),
    Column("why"),
]
_DAYS = [
    Column("day"),
    Column("booked_micros", "money"),
    Column("billed_micros", "money"),
    Column("closed"),
    Column("is_over"),
]
_DRIFT = [
    Column("day"),
    Column("model"),
    Column("booked_micros", "money"),
    Column("billed_micros", "money"),
    Column("billed_points", "number"),
    Column("measured_at_ms", "time"),
]


@command(app, "reconcile", here_only=True)
async def reconcile(
    call: Call,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
) -> None:
    """Compare the book with the relay's own accounts: end unknown requests and correct short ones where the relay's log proves
    it, measure the drift by day, and show what was done and what stays open. The gateway does the same in the background."""
    async with (
        call.database() as database,
        ledger(database) as money,
        _reconciliation(call, database, money) as reconciliation,
    ):
        report = await reconciliation.run(dry_run=dry_run, every_day=True)
    if call.out.is_json:
        call.out.json(_document(call, report))
    else:
        _print(call, report)


@asynccontextmanager
async def ledger(database: "Database") -> "AsyncIterator[Ledger]":
    """The money of requests, closed at the end."""
    from app.store.ledger.opening import open_book

    money = open_book(database.where, connections_max=1).ledger
    try:
        yield money
    finally:
        await money.close()


@asynccontextmanager
async def _reconciliation(call: Call, database: "Database", money: "Ledger") -> "AsyncIterator[Reconciliation]":
    from app.administration import upstream_from
    from app.control.matching import MatchingRules
    from app.control.reconciliation import Reconciliation

    settings = call.home.settings
    if call.home.sandbox:
        raise ConfigurationError(
            "The sandbox relay lives inside `imagegate serve`, which reconciles with it by itself."
        )
    if settings.upstream_api_key is None:
        raise ConfigurationError("There is no key of the relay to ask with. Set IMAGEGATE_UPSTREAM_API_KEY.")
    key = settings.upstream_api_key.get_secret_value()
    upstream = upstream_from(settings)
    rules = MatchingRules(int(settings.upstream_deadline_s * 1000), settings.upstream_dollar_micros)
    try:
        yield Reconciliation(database, money, upstream, key, settings.zone, rules)
    finally:
        await upstream.close()


def _document(call: Call, report: "ReconciliationReport") -> dict[str, Any]:
    out, accounts = call.out, report.accounts
    return {
        "dry_run": report.dry_run,
        "done": [out.as_json(_STEPS, fields(step)) for step in report.steps],
        "open": [out.as_json(_OPEN, fields(each)) for each in report.open],
        "days": [out.as_json(_DAYS, fields(day, is_over=day.is_over)) for day in report.days],
        "drift": [out.as_json(_DRIFT, fields(row)) for row in report.drift],
        "relay": {
            "log_rows": len(accounts.log.rows) if accounts.log else None,
            "used_points": accounts.account.used_points,
            "left_points": accounts.account.left_points,
            "unlimited": accounts.account.unlimited,
            "missing": list(accounts.missing),
        },
    }


def _print(call: Call, report: "ReconciliationReport") -> None:
    for missing in report.accounts.missing:
        say(f"imagegate: the relay's account {missing}")
    _print_list(call, _STEPS, "would be done" if report.dry_run else "done", [fields(each) for each in report.steps])
    _print_list(call, _OPEN, "still open", [fields(each) for each in report.open])
    _print_list(call, _DAYS, "by day", [fields(day, is_over=day.is_over) for day in report.days])
    if report.open:
        decide = call.home.command("requests settle ID --reason WHY")
        say(f"imagegate: what stays open is yours to decide: {decide} (or release, or write-off).")


def _print_list(call: Call, columns: list[Column], title: str, records: list[dict[str, Any]]) -> None:
    say(f"imagegate: {title}: {len(records) or 'nothing'}")
    if records:
        call.out.rows(columns, records)
