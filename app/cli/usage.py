"""imagegate usage: what was used and what it cost."""

import csv
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.command import Call, command
from app.cli.output import Column, Format, fields

if TYPE_CHECKING:
    from app.control.usage import UsageReport

app = typer.Typer()
_WITH_IDS = ("project", "user", "key")
_SUMS = [
    Column("requests", "number"),
    Column("images", "number"),
    Column("cost_micros", "money"),
    Column("input_tokens", "number"),
    Column("output_tokens", "number"),
]


@command(app, "usage", csv=True)
async def usage(
    call: Call,
    since: Annotated[
        str | None, typer.Option(metavar="D", help="The first day of the report, like 2026-12-01.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="D", help="The first day after the report.")] = None,
    by: Annotated[
        str, typer.Option(metavar="A,B", help="Any of model,user,project,key,day,operation,size,quality.")
    ] = "model",
) -> None:
    """Show what was used and what it cost."""
    names = [name.strip() for name in by.split(",") if name.strip()]
    async with call.administration() as administration:
        report = await administration.usage(names, since, until)
    columns = [column for name in report.by for column in _columns(name)] + _SUMS
    records = _records(report)
    if call.out.format is Format.csv:
        _print_csv(columns, records)
        return
    if not call.out.is_json and report.by:
        records.append(_total(report))
    total = {column.json_key: getattr(report.total, column.key) for column in _SUMS}
    call.out.rows(columns, records, total=total, currency=call.out.currency)


def _columns(name: str) -> list[Column]:
    # A key is known by its id: names of keys need not be unique.
    return [Column(name), Column(f"{name}_id", table=name == "key")] if name in _WITH_IDS else [Column(name)]


def _records(report: "UsageReport") -> list[dict[str, Any]]:
    records = []
    for row in report.rows:
        record: dict[str, Any] = fields(row.sums)
        for name, (text, id_) in zip(report.by, row.names, strict=True):
            record |= {name: text or None, f"{name}_id": id_}
        records.append(record)
    return records


def _total(report: "UsageReport") -> dict[str, Any]:
    empty: dict[str, Any] = {column.key: None for name in report.by for column in _columns(name)}
    return {**empty, report.by[0]: "total", **fields(report.total)}


def _print_csv(columns: list[Column], records: list[dict[str, Any]]) -> None:
    """Amounts are plain decimals; what a spreadsheet would take for a formula is made text."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    writer.writerows([_csv_cell(column, record[column.key]) for column in columns] for record in records)


def _csv_cell(column: Column, value: Any) -> str:
    from app.core.money import decimal_text
    from app.core.spreadsheet import defused

    if column.kind == "money":
        return decimal_text(value)
    return str(value) if column.kind == "number" else defused("" if value is None else str(value))
