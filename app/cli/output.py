"""Output of commands: data on stdout as a table, as tab-separated lines (in a pipe) or as JSON; messages on stderr."""

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal
from zoneinfo import ZoneInfo

from app.cli.language import display_width, translate

Record = Mapping[str, Any]


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


@dataclass(frozen=True, slots=True)
class Column:
    """Column of a table, filled from an answer of the API.

    `field` is a field of the answer; a dot leads into an inner object (`project.name`). A `value` computes the cell instead.
    Money is in micros, a time in Unix seconds; an `amount` is money when the answer's `unit` is micros, otherwise a number.
    `none` is the text for null, `empty` the text for an empty list. Without a `heading` it is made from `field`.
    """

    field: str
    kind: Literal["text", "number", "money", "amount", "time"] = "text"
    heading: str = ""
    none: str = ""
    empty: str = ""
    value: Callable[[Record], Any] | None = None

    @property
    def name(self) -> str:
        """Name in the head of a CSV file."""
        return self.heading or self.field.removesuffix("_micros")

    @property
    def title(self) -> str:
        """Name for people, in their language."""
        return translate(self.name.replace("_", " "))

    def read(self, record: Record) -> Any:
        """Return the value of the cell. Raises LookupError or TypeError for a record of another shape."""
        if self.value is not None:
            return self.value(record)
        found: Any = record
        for name in self.field.split("."):
            found = found[name]
        return found


@dataclass(frozen=True, slots=True)
class Output:
    """Output of one command in the chosen format, with times in `zone` and money in `currency`."""

    format: Format
    zone: ZoneInfo
    currency: str

    @property
    def is_json(self) -> bool:
        return self.format is Format.json

    def rows(self, columns: Sequence[Column], answer: Record) -> None:
        """Print a list: the answer as JSON, otherwise its `data` as CSV or as a table."""
        if self.is_json:
            self.json(answer)
        elif self.format is Format.csv:
            self.csv(columns, answer["data"])
        else:
            self.table(columns, answer["data"])

    def one(self, columns: Sequence[Column], answer: Record) -> None:
        """Print one object: as JSON, otherwise a line for each column."""
        if self.is_json:
            self.json(answer)
            return
        lines = [[column.title, self.cell(column, answer)] for column in columns]
        if sys.stdout.isatty():
            _print_grid(lines)
        else:
            _print_lines(lines)

    def json(self, value: Any) -> None:
        print(json.dumps(value, ensure_ascii=False, indent=2))

    def done(self, answer: Any, text: str) -> None:
        """Print the answer as JSON, otherwise a message for people."""
        self.json(answer) if self.is_json else say(text)

    def note(self, text: str) -> None:
        """Print a message for people beside the data; none in JSON."""
        if not self.is_json:
            say(text)

    def secret(self, answer: Record, value: str, text: str) -> None:
        """Print a new secret, in JSON also as the field `key`, with a message for people."""
        if self.is_json:
            self.json({**answer, "key": value})
            return
        print(value)
        say(text)

    def csv(self, columns: Sequence[Column], records: Sequence[Record]) -> None:
        """Print CSV. Amounts are plain decimals; cells that a spreadsheet would read as a formula become text."""
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([column.name for column in columns])
        writer.writerows([self._csv_cell(column, column.read(record)) for column in columns] for record in records)

    def _csv_cell(self, column: Column, value: Any) -> str:
        from app.core.money import decimal_text
        from app.core.spreadsheet import escape_formula

        if value is None:
            return ""
        if column.kind == "money":
            return decimal_text(value)
        if column.kind == "time":
            return self.time(value)
        return str(value) if column.kind == "number" else escape_formula(str(value))

    def table(self, columns: Sequence[Column], records: Sequence[Record]) -> None:
        """Print a table, whatever the format."""
        names = [column.title for column in columns]
        cells = [[self.cell(column, record) for column in columns] for record in records]
        if sys.stdout.isatty():
            _print_table(names, [column.kind in ("number", "money", "amount") for column in columns], cells)
        else:
            _print_lines([names, *cells])

    def cell(self, column: Column, record: Record) -> str:
        value = column.read(record)
        if value is None:
            return translate(column.none)
        if column.kind == "money" or (column.kind == "amount" and record["unit"] == "micros"):
            return self.money(value)
        if column.kind == "time":
            return self.time(value)
        if isinstance(value, bool):
            return translate("yes" if value else "no")
        if isinstance(value, list | tuple):
            return visible(", ".join(value)) or translate(column.empty)
        return visible(str(value))

    def money(self, amount_micros: int) -> str:
        """Format money: `0.08 CNY`."""
        from app.core.money import decimal_text

        return f"{decimal_text(amount_micros)} {self.currency}"

    def time(self, at_s: int) -> str:
        """Format Unix seconds as ISO 8601 with the offset of the gateway's timezone."""
        from datetime import datetime

        return datetime.fromtimestamp(at_s, self.zone).isoformat()


def say(text: str) -> None:
    """Print a message for people on stderr, apart from the data, in their language."""
    print(translate(text), file=sys.stderr, flush=True)


def say_json(value: Any) -> None:
    """Print a document for programs on stderr, in English."""
    print(json.dumps(value, ensure_ascii=False), file=sys.stderr, flush=True)


def visible(text: str) -> str:
    """Escape control characters: a terminal obeys them, and a tab or line end would break a table."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _print_lines(lines: Sequence[Sequence[str]]) -> None:
    for line in lines:
        print("\t".join(line))


def _print_table(names: Sequence[str], right: Sequence[bool], cells: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, is_number in zip(names, right, strict=True):
        table.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    Console().print(table)


def _print_grid(lines: Sequence[Sequence[str]]) -> None:
    width = max(display_width(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name}{' ' * (width - display_width(name))}  {value}")
