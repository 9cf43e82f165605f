"""Data on stdout, words on stderr: as a table, as tab-separated lines for a pipe, or as JSON."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal
from zoneinfo import ZoneInfo

Record = Mapping[str, Any]


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, filled from an answer of the API.

    `field` is a field of the answer; a dot leads into an inner object (`project.name`). `value` computes what no field holds.
    Money is in micros, a time in Unix seconds; an `amount` is money where the answer's `unit` is micros, otherwise a number.
    `none` is the text for null, `empty` the text for an empty list. `heading` is made from `field` where it is not given.
    """

    field: str
    kind: Literal["text", "number", "money", "amount", "time"] = "text"
    heading: str = ""
    none: str = ""
    empty: str = ""
    value: Callable[[Record], Any] | None = None

    @property
    def name(self) -> str:
        """The name in the head of a table or of a CSV file."""
        return self.heading or self.field.removesuffix("_micros")

    def read(self, record: Record) -> Any:
        """The cell's value. Raises LookupError or TypeError for a record of another shape."""
        if self.value is not None:
            return self.value(record)
        found: Any = record
        for name in self.field.split("."):
            found = found[name]
        return found


@dataclass(frozen=True, slots=True)
class Output:
    """Prints in the chosen format; times in `zone`, money in `currency`."""

    format: Format
    zone: ZoneInfo
    currency: str

    @property
    def is_json(self) -> bool:
        return self.format is Format.json

    def rows(self, columns: Sequence[Column], answer: Record) -> None:
        """Print a list: the answer as JSON, otherwise its `data` as a table."""
        if self.is_json:
            self.json(answer)
        else:
            self.table(columns, answer["data"])

    def one(self, columns: Sequence[Column], answer: Record) -> None:
        """Print one object: as JSON, otherwise a line for each column."""
        if self.is_json:
            self.json(answer)
            return
        lines = [[column.name.replace("_", " "), self.cell(column, answer)] for column in columns]
        if sys.stdout.isatty():
            _print_grid(lines)
        else:
            _print_lines(lines)

    def json(self, value: Any) -> None:
        print(json.dumps(value, ensure_ascii=False, indent=2))

    def table(self, columns: Sequence[Column], records: Sequence[Record]) -> None:
        """Print a table, whatever the format."""
        names = [column.name.replace("_", " ") for column in columns]
        cells = [[self.cell(column, record) for column in columns] for record in records]
        if sys.stdout.isatty():
            _print_table(names, [column.kind in ("number", "money", "amount") for column in columns], cells)
        else:
            _print_lines([names, *cells])

    def cell(self, column: Column, record: Record) -> str:
        value = column.read(record)
        if value is None:
            return column.none
        if column.kind == "money" or (column.kind == "amount" and record["unit"] == "micros"):
            return self.money(value)
        if column.kind == "time":
            return self.time(value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, list | tuple):
            return visible(", ".join(value)) or column.empty
        return visible(str(value))

    def money(self, amount_micros: int) -> str:
        """`0.08 CNY`."""
        from app.core.money import decimal_text

        return f"{decimal_text(amount_micros)} {self.currency}"

    def time(self, at_s: int) -> str:
        """ISO 8601 with the offset of the gateway's timezone."""
        from datetime import datetime

        return datetime.fromtimestamp(at_s, self.zone).isoformat()


def say(text: str) -> None:
    """Print words for people, on stderr: they never mix with data."""
    print(text, file=sys.stderr, flush=True)


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
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name.ljust(width)}  {value}")
