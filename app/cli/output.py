"""Data on stdout, words on stderr: as a table, as tab-separated lines where nobody looks, or as JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from typing import Any, Literal

Record = Mapping[str, Any]


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a record. Money is in micros and its key ends with `_micros`, time in milliseconds and `_ms`.

    `none` is what a table shows for None, `empty` for a list with nothing in it. With `table=False` only JSON has it.
    """

    key: str
    kind: Literal["text", "number", "money", "time"] = "text"
    none: str = ""
    empty: str = ""
    table: bool = True

    @property
    def name(self) -> str:
        """For the head of a table or CSV file."""
        return self.json_key.removesuffix("_micros")

    @property
    def json_key(self) -> str:
        return self.key.removesuffix("_ms") if self.kind == "time" else self.key


@dataclass(frozen=True, slots=True)
class Output:
    format: Format
    zone: tzinfo
    currency: str

    @property
    def is_json(self) -> bool:
        return self.format is Format.json

    def rows(self, columns: Sequence[Column], records: Sequence[Record], **beside: Any) -> None:
        """A list: `{"data": [...]}` as JSON, with `beside` next to it."""
        if self.is_json:
            self.json({"data": [self.as_json(columns, record) for record in records], **beside})
            return
        shown = [column for column in columns if column.table]
        self.table(shown, [[self.cell(column, record) for column in shown] for record in records])

    def one(self, columns: Sequence[Column], record: Record) -> None:
        """One thing: an object as JSON, otherwise a line for each field."""
        if self.is_json:
            self.json(self.as_json(columns, record))
            return
        lines = [[column.name.replace("_", " "), self.cell(column, record)] for column in columns if column.table]
        if sys.stdout.isatty():
            _print_grid(lines)
        else:
            _print_lines(lines)

    def json(self, value: Any) -> None:
        print(json.dumps(value, ensure_ascii=False, indent=2))

    def table(self, columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
        names = [column.name.replace("_", " ") for column in columns]
        if sys.stdout.isatty():
            _print_table(names, [column.kind in ("number", "money") for column in columns], cells)
        else:
            _print_lines([names, *cells])

    def as_json(self, columns: Sequence[Column], record: Record) -> dict[str, Any]:
        return {column.json_key: self._json_value(column, record[column.key]) for column in columns}

    def cell(self, column: Column, record: Record) -> str:
        value = record[column.key]
        if value is None:
            return column.none
        if column.kind == "money":
            return self.money(value)
        if column.kind == "time":
            return self.time(value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        return ", ".join(value) or column.empty if isinstance(value, list | tuple) else visible(str(value))

    def money(self, amount_micros: int) -> str:
        """`0.08 CNY`."""
        from app.core.money import decimal_text

        return f"{decimal_text(amount_micros)} {self.currency}"

    def time(self, at_ms: int) -> str:
        """ISO 8601 with the configured zone's offset."""
        from datetime import datetime

        return datetime.fromtimestamp(at_ms // 1000, self.zone).isoformat()

    def _json_value(self, column: Column, value: Any) -> Any:
        return self.time(value) if column.kind == "time" and value is not None else value


def say(text: str) -> None:
    """Words for people: they never mix with data."""
    print(text, file=sys.stderr, flush=True)


def fields(record: Any, **more: Any) -> dict[str, Any]:
    """The fields of a slotted dataclass as a record, with `more` on top."""
    return {**{name: getattr(record, name) for name in record.__slots__}, **more}


def visible(text: str) -> str:
    """Escapes control characters: a terminal obeys them, and a tab or line end would break a table."""
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
    for name, to_the_right in zip(names, right, strict=True):
        table.add_column(Text(name), justify="right" if to_the_right else "left", overflow="fold")
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    Console().print(table)


def _print_grid(lines: Sequence[Sequence[str]]) -> None:
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name.ljust(width)}  {value}")
